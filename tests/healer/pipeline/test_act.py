"""Acting gives the remediation its handle and turns whatever comes of it into a Result."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.errors import Blind, JournalError, PermanentError, Superseded, TemporaryError
from vllm_healer.handle import Handle
from vllm_healer.model import Facts, Outcome, Plan, Result, RunState
from vllm_healer.pipeline.act import act, untouched
from vllm_healer.remediation import Remediation

DONE = Result(Outcome.DONE, "restarted", "boot-a/5000/120000")


class Sample(Remediation):
    """Returns, or raises, what it was given."""

    def __init__(self, answer: Result | Exception = DONE) -> None:
        self.answer = answer
        self.handles: list[Handle] = []

    def carry_out(self, handle: Handle) -> Result:
        self.handles.append(handle)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def acted(cases: ModuleType, remediation: Remediation) -> Result:
    return act(cases.plan(), cases.handle(), {"restart_engine": remediation})


def test_the_remediation_of_the_plan_gets_the_handle_once(cases: ModuleType) -> None:
    remediation, handle = Sample(), cases.handle()
    assert act(cases.plan(), handle, {"restart_engine": remediation, "reap_orphans": Sample()}) == DONE
    assert remediation.handles == [handle]


def test_telling_calls_nothing(cases: ModuleType) -> None:
    result = act(cases.plan(remediation="notify_only"), cases.handle())
    assert result.outcome is Outcome.DONE
    assert result.words == "nothing was done to gpu1:8000: it is only reported"


def test_already_restarted_by_another_is_passed_on(cases: ModuleType) -> None:
    already = Result(Outcome.ALREADY, "it had been restarted", "boot-a/5000/120000")
    assert acted(cases, Sample(already)) == already
    assert acted(cases, Sample(Superseded(already.words, already.incarnation))) == already


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (
            TemporaryError("supervisord is reloading", delay=10.0),
            Result(
                Outcome.FAILED,
                "restart_engine on gpu1:8000 could not be done now: supervisord is reloading",
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
    assert acted(cases, Sample(error)) == result


def test_a_step_that_could_not_be_journalled_is_not_an_actuators_failure(cases: ModuleType) -> None:
    with pytest.raises(JournalError, match="disk full"):
        acted(cases, Sample(JournalError("disk full")))


def test_a_remediation_that_is_gone_fails_and_names_those_there_are(cases: ModuleType) -> None:
    result = act(cases.plan(remediation="pray"), cases.handle(), {"restart_engine": Sample(), "reap_orphans": Sample()})
    assert result.outcome is Outcome.FAILED
    assert result.words == (
        "pray on gpu1:8000: there is no such remediation (any more); known: reap_orphans, restart_engine"
    )


class Unsure(Sample):
    def untouched(self, plan: Plan, facts: Facts) -> bool:
        raise KeyError("a defect")


def test_only_what_a_remediation_knows_to_be_untouched_is_judged_anew(cases: ModuleType) -> None:
    facts = cases.facts()
    assert untouched(cases.plan(), facts)  # the process that was judged runs as before
    assert not untouched(cases.plan(), cases.facts(supervisor=cases.supervisor(RunState.STOPPED)))
    for remediation in (Sample(), Unsure()):
        assert not untouched(cases.plan(), facts, {"restart_engine": remediation})
    assert not untouched(cases.plan(remediation="pray"), facts)
