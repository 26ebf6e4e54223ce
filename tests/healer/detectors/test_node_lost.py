"""Node lost: why a server died, once an alert says so, and only then."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.node_lost import NodeLost
from vllm_healer.model import Diagnosis, Facts


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return NodeLost().detect(cases.incident("VllmDown"), facts)


def test_explains_a_death_that_a_restart_may_cure(cases: ModuleType) -> None:
    found = detect(cases, cases.died_of("node_lost"))
    assert found is not None
    assert found.cause == "node_lost"
    assert found.evidence.endswith(": /health is refused and the supervisor says fatal")
    assert found.supporting_alerts == {"VllmDown"}
    assert NodeLost.destructive_may_help


def test_is_quiet_for_a_server_that_has_survived_it(cases: ModuleType) -> None:
    """A worker that Ray brought back itself: the server serves."""
    assert detect(cases, cases.lives_with("node_lost")) is None


def test_is_quiet_for_a_death_that_no_alert_explains(cases: ModuleType) -> None:
    assert detect(cases, cases.died_of("something_else")) is None
    assert detect(cases, cases.died_of("node_lost", age=15.1)) is None


def test_explains_a_hang_as_well(cases: ModuleType) -> None:
    found = NodeLost().detect(cases.incident("VllmEngineStalled"), cases.hangs_by("node_lost"))
    assert found is not None
    assert found.supporting_alerts == {"VllmEngineStalled"}
