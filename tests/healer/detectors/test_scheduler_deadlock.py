"""Scheduler deadlock: named, with what a person does, on a server that answers and does not hang."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.scheduler_deadlock import SchedulerDeadlock
from vllm_healer.model import Diagnosis, Facts
from vllm_healer.pipeline.diagnose import diagnose


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return SchedulerDeadlock().detect(cases.incident("VllmDown"), facts)


def test_names_the_trouble_of_a_server_that_answers(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmCanaryFailing"), cases.lives_with("scheduler_deadlock"))
    assert found.cause == "scheduler_deadlock"
    assert found.advice == SchedulerDeadlock.person
    assert not SchedulerDeadlock.destructive_may_help


def test_is_quiet_when_no_alert_tells_of_it(cases: ModuleType) -> None:
    """A queue that moves: something runs, so it is [overload](overload.md)."""
    assert detect(cases, cases.lives_with("something_else")) is None
    assert detect(cases, cases.lives_with("scheduler_deadlock", age=15.1)) is None


def test_a_server_that_hangs_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmEngineStalled"), cases.hangs_by("scheduler_deadlock")).cause == "engine_stalled"


def test_a_server_that_is_down_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.died_of("scheduler_deadlock")).cause == "engine_dead"
