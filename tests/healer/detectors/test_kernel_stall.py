"""Kernel stall: why a server died, once an alert says so, and only then."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.kernel_stall import KernelStall
from vllm_healer.model import Diagnosis, Facts


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return KernelStall().detect(cases.incident("VllmDown"), facts)


def test_explains_a_death_that_a_restart_may_cure(cases: ModuleType) -> None:
    found = detect(cases, cases.died_of("kernel_stall"))
    assert found is not None
    assert found.cause == "kernel_stall"
    assert found.evidence.endswith(": /health is refused and the supervisor says fatal")
    assert found.supporting_alerts == {"VllmDown"}
    assert KernelStall.destructive_may_help


def test_is_quiet_for_a_server_that_has_survived_it(cases: ModuleType) -> None:
    """A step that was late once, on a server whose values move: busy."""
    assert detect(cases, cases.lives_with("kernel_stall")) is None


def test_is_quiet_for_a_death_that_no_alert_explains(cases: ModuleType) -> None:
    assert detect(cases, cases.died_of("something_else")) is None
    assert detect(cases, cases.died_of("kernel_stall", age=15.1)) is None


def test_explains_a_hang_as_well(cases: ModuleType) -> None:
    found = KernelStall().detect(cases.incident("VllmEngineStalled"), cases.hangs_by("kernel_stall"))
    assert found is not None
    assert found.supporting_alerts == {"VllmEngineStalled"}
