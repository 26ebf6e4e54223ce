"""Start out of GPU memory: a start that fails for a reason that the next one would meet is left to a person."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.detectors.start_out_of_gpu_memory import StartOutOfGpuMemory
from vllm_healer.model import Diagnosis, Facts


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return StartOutOfGpuMemory().detect(cases.incident("VllmDown"), facts)


def test_explains_a_start_that_failed_and_says_what_to_do(cases: ModuleType) -> None:
    found = detect(cases, cases.died_of("start_out_of_gpu_memory"))
    assert found is not None
    assert found.cause == "start_out_of_gpu_memory"
    assert found.advice == StartOutOfGpuMemory.person
    assert not StartOutOfGpuMemory.destructive_may_help


def test_is_quiet_when_the_process_that_died_had_come_up_in_spite_of_it(cases: ModuleType) -> None:
    """The alert tells of an earlier start for minutes; this death has another reason."""
    came_up = replace(cases.died_of("start_out_of_gpu_memory"), last_was_ready=True)
    assert detect(cases, came_up) is None


def test_is_quiet_for_a_server_that_serves_and_for_a_death_that_no_alert_explains(cases: ModuleType) -> None:
    assert detect(cases, cases.lives_with("start_out_of_gpu_memory")) is None
    assert detect(cases, cases.died_of("something_else")) is None
    assert detect(cases, cases.died_of("start_out_of_gpu_memory", age=15.1)) is None
