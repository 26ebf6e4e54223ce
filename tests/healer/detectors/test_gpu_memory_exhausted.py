"""GPU memory exhausted: why a server died, once an alert says so, and only then."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.gpu_memory_exhausted import GpuMemoryExhausted
from vllm_healer.model import Diagnosis, Facts


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return GpuMemoryExhausted().detect(cases.incident("VllmDown"), facts)


def test_explains_a_death_that_a_restart_may_cure(cases: ModuleType) -> None:
    found = detect(cases, cases.died_of("gpu_memory_exhausted"))
    assert found is not None
    assert found.cause == "gpu_memory_exhausted"
    assert found.evidence.endswith(": /health is refused and the supervisor says fatal")
    assert found.supporting_alerts == {"VllmDown"}
    assert GpuMemoryExhausted.destructive_may_help


def test_is_quiet_for_a_server_that_has_survived_it(cases: ModuleType) -> None:
    """One request failed for lack of memory, and the server serves on."""
    assert detect(cases, cases.lives_with("gpu_memory_exhausted")) is None


def test_is_quiet_for_a_death_that_no_alert_explains(cases: ModuleType) -> None:
    assert detect(cases, cases.died_of("something_else")) is None
    assert detect(cases, cases.died_of("gpu_memory_exhausted", age=15.1)) is None
