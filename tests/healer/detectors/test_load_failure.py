"""Load failure: a start that fails for a reason that the next one would meet is left to a person."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.detectors.load_failure import LoadFailure
from vllm_healer.model import Diagnosis, Facts


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return LoadFailure().detect(cases.incident("VllmDown"), facts)


def test_explains_a_start_that_failed_and_says_what_to_do(cases: ModuleType) -> None:
    found = detect(cases, cases.died_of("load_failure"))
    assert found is not None
    assert found.cause == "load_failure"
    assert found.advice == LoadFailure.person
    assert not LoadFailure.destructive_may_help


def test_is_quiet_when_the_process_that_died_had_come_up_in_spite_of_it(cases: ModuleType) -> None:
    """The alert tells of an earlier start for minutes; this death has another reason."""
    came_up = replace(cases.died_of("load_failure"), last_was_ready=True)
    assert detect(cases, came_up) is None


def test_is_quiet_for_a_server_that_serves_and_for_a_death_that_no_alert_explains(cases: ModuleType) -> None:
    assert detect(cases, cases.lives_with("load_failure")) is None
    assert detect(cases, cases.died_of("something_else")) is None
    assert detect(cases, cases.died_of("load_failure", age=15.1)) is None
