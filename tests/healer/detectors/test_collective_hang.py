"""Collective hang: why a server died, once an alert says so, and only then."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.collective_hang import CollectiveHang
from vllm_healer.model import Diagnosis, Facts


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return CollectiveHang().detect(cases.incident("VllmDown"), facts)


def test_explains_a_death_that_a_restart_may_cure(cases: ModuleType) -> None:
    found = detect(cases, cases.died_of("collective_hang"))
    assert found is not None
    assert found.cause == "collective_hang"
    assert found.evidence.endswith(": /health is refused and the supervisor says fatal")
    assert found.supporting_alerts == {"VllmDown"}
    assert CollectiveHang.destructive_may_help


def test_is_quiet_for_a_server_that_has_survived_it(cases: ModuleType) -> None:
    """A rendezvous that failed at first and then succeeded: it serves."""
    assert detect(cases, cases.lives_with("collective_hang")) is None


def test_is_quiet_for_a_death_that_no_alert_explains(cases: ModuleType) -> None:
    assert detect(cases, cases.died_of("something_else")) is None
    assert detect(cases, cases.died_of("collective_hang", age=15.1)) is None


def test_explains_a_hang_as_well(cases: ModuleType) -> None:
    found = CollectiveHang().detect(cases.incident("VllmEngineStalled"), cases.hangs_by("collective_hang"))
    assert found is not None
    assert found.supporting_alerts == {"VllmEngineStalled"}
