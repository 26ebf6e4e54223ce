"""Acting calls one method of the actuator and turns whatever comes of it into a Result."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from vllm_healer.errors import Blind, JournalError, PermanentError, TemporaryError
from vllm_healer.model import Outcome, Result, SupervisorView, Target
from vllm_healer.pipeline.act import act

DONE = Result(Outcome.DONE, "restarted", "boot-a/5000/120000")


class Recording:
    """An actuator that notes how it was called and returns, or raises, what it was given."""

    def __init__(self, answer: Result | Exception = DONE) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.answer = answer

    def view(self, target: Target) -> SupervisorView:
        raise AssertionError("acting does not look")

    def restart(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        return self._answer("restart", target, incarnation, step, deadline)

    def reap(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        return self._answer("reap", target, incarnation, step, deadline)

    def _answer(
        self, method: str, target: Target, incarnation: str, step: Callable[[str], None], deadline: float
    ) -> Result:
        self.calls.append((method, target.server, incarnation, deadline))
        step("stop")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ignore(name: str) -> None:
    pass


@pytest.mark.parametrize(("remediation", "method"), [("restart_engine", "restart"), ("reap_orphans", "reap")])
def test_each_remediation_calls_its_method_once(cases: ModuleType, remediation: str, method: str) -> None:
    actuator, steps = Recording(), list[str]()
    result = act(cases.plan(remediation=remediation), cases.TARGET, actuator, steps.append, 60.0)
    assert result == DONE
    assert actuator.calls == [(method, "gpu1:8000", "boot-a/4711/99000", 60.0)]
    assert steps == ["stop"]


def test_telling_calls_nothing(cases: ModuleType) -> None:
    actuator = Recording()
    result = act(cases.plan(remediation="notify_only"), cases.TARGET, actuator, ignore, 60.0)
    assert result.outcome is Outcome.DONE
    assert result.words == "nothing was done to gpu1:8000: it is only reported"
    assert actuator.calls == []


def test_already_restarted_by_another_is_passed_on(cases: ModuleType) -> None:
    already = Result(Outcome.ALREADY, "it had been restarted", "boot-a/5000/120000")
    assert act(cases.plan(), cases.TARGET, Recording(already), ignore, 60.0) == already


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (
            TemporaryError("supervisord is reloading", delay=10.0),
            Result(
                Outcome.FAILED,
                "restart_engine on gpu1:8000 could not be done now: supervisord is reloading; "
                "it may be tried again in 10 s",
                retry_after=10.0,
            ),
        ),
        (
            PermanentError("no program 'vllm'"),
            Result(
                Outcome.FAILED,
                "restart_engine on gpu1:8000 cannot be done: no program 'vllm'; a person must look",
            ),
        ),
        (
            Blind("supervisord did not answer"),
            Result(
                Outcome.FAILED,
                "restart_engine on gpu1:8000 was broken off: supervisord did not answer; a person must look",
            ),
        ),
        (
            ZeroDivisionError("division by zero"),
            Result(
                Outcome.FAILED,
                "restart_engine on gpu1:8000 failed with ZeroDivisionError: division by zero; a person must look",
            ),
        ),
    ],
)
def test_an_error_becomes_a_failed_result(cases: ModuleType, error: Exception, result: Result) -> None:
    assert act(cases.plan(), cases.TARGET, Recording(error), ignore, 60.0) == result


def test_a_step_that_could_not_be_journalled_is_not_an_actuators_failure(cases: ModuleType) -> None:
    def full(name: str) -> None:
        raise JournalError("disk full")

    with pytest.raises(JournalError, match="disk full"):
        act(cases.plan(), cases.TARGET, Recording(), full, 60.0)


def test_a_remediation_that_is_gone_fails_and_names_those_there_are(cases: ModuleType) -> None:
    result = act(cases.plan(remediation="drain"), cases.TARGET, Recording(), ignore, 60.0)
    assert result.outcome is Outcome.FAILED
    assert result.words == (
        "drain on gpu1:8000: there is no such remediation (any more); known: notify_only, reap_orphans, restart_engine"
    )
