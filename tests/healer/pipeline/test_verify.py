"""Recovered means seen to work, by a new process where one was started."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.model import (
    NO_INCARNATION,
    IncidentState,
    Look,
    Plan,
    RunState,
    SupervisorView,
    Verdict,
    Verification,
)
from vllm_healer.pipeline.verify import next_state, verify
from vllm_healer.proof import Evidence, Proof
from vllm_healer.remediation import Remediation

NEW = "boot-a/5000/120000"


def after(
    cases: ModuleType,
    look: Look | None = None,
    supervisor: SupervisorView | None = None,
    elapsed: float = 42.0,
    before: Look | None = None,
    plan: Plan | None = None,
) -> Verdict:
    view = supervisor or cases.supervisor(incarnation=cases.process(30.0, NEW))
    evidence = Evidence(before or cases.HUNG, look or cases.WELL, view)
    return verify(plan or cases.plan(), evidence, elapsed, 600.0)


def test_a_new_process_that_answers_has_recovered(cases: ModuleType) -> None:
    assert after(cases) == Verdict(
        Verification.RECOVERED,
        "gpu1:8000 recovered after 42 s: a new process, /health is ok and the canary answered in 0.2 s",
    )


def test_it_counts_even_when_it_answers_only_after_the_deadline(cases: ModuleType) -> None:
    assert after(cases, elapsed=700.0).verification is Verification.RECOVERED


def test_a_process_that_still_loads_is_not_there_yet(cases: ModuleType) -> None:
    assert after(cases, cases.REFUSED) == Verdict(
        Verification.NOT_YET, "gpu1:8000 after 42 of 600 s: /health is refused"
    )


def test_health_alone_is_no_recovery(cases: ModuleType) -> None:
    assert after(cases, cases.HUNG) == Verdict(
        Verification.NOT_YET, "gpu1:8000 after 42 of 600 s: the canary failed (no answer in 8 s)"
    )


def test_at_the_deadline_it_failed_and_says_what_is_missing(cases: ModuleType) -> None:
    assert after(cases, cases.REFUSED, elapsed=600.0) == Verdict(
        Verification.FAILED, "gpu1:8000 did not recover in 600 s: /health is refused"
    )


def test_the_old_process_answering_again_is_no_restart(cases: ModuleType) -> None:
    assert after(cases, supervisor=cases.supervisor()) == Verdict(
        Verification.NOT_YET, "gpu1:8000 after 42 of 600 s: the old process still runs (pid 4711)"
    )


def test_no_process_is_no_new_process(cases: ModuleType) -> None:
    gone = cases.supervisor(RunState.STARTING, incarnation=NO_INCARNATION)
    assert after(cases, supervisor=gone).words == (
        "gpu1:8000 after 42 of 600 s: no process runs (the supervisor says starting)"
    )


@pytest.mark.parametrize(("state", "itself"), [(RunState.FATAL, None), (RunState.EXITED, False)])
def test_a_program_that_ended_for_good_is_not_waited_for(
    cases: ModuleType, state: RunState, itself: bool | None
) -> None:
    ended = cases.supervisor(state, incarnation=NO_INCARNATION, restarts_itself=itself)
    assert after(cases, cases.REFUSED, ended, elapsed=5.0) == Verdict(
        Verification.FAILED, f"gpu1:8000 did not recover in 5 s: no process runs (the supervisor says {state.value})"
    )


def test_a_program_that_its_supervisor_starts_again_is_waited_for(cases: ModuleType) -> None:
    ended = cases.supervisor(RunState.EXITED, incarnation=NO_INCARNATION, restarts_itself=None)
    assert after(cases, cases.REFUSED, ended, elapsed=5.0).verification is Verification.NOT_YET


def test_a_supervisor_that_does_not_answer_proves_nothing(cases: ModuleType) -> None:
    verdict = verify(cases.plan(), Evidence(cases.HUNG, cases.WELL, None), 42.0, 600.0)
    assert verdict.words == "gpu1:8000 after 42 of 600 s: the supervisor does not answer"


def test_a_paused_server_is_said_to_be_paused(cases: ModuleType) -> None:
    assert after(cases, replace(cases.WELL, canary=None, paused=True)).words.endswith("it is paused")


def test_without_a_canary_nothing_is_proven(cases: ModuleType) -> None:
    assert after(cases, replace(cases.WELL, canary=None)).words.endswith("no canary was sent")


def test_where_no_canary_applies_the_values_must_move(cases: ModuleType) -> None:
    pooling = replace(cases.WELL, canary=cases.NOT_APPLICABLE)
    assert after(cases, pooling) == Verdict(
        Verification.RECOVERED,
        "gpu1:8000 recovered after 42 s: a new process, /health is ok and the engine's values move",
    )
    assert after(cases, pooling, before=pooling).words.endswith(
        "no canary applies to it, and no engine value has changed"
    )


def test_values_that_are_shown_again_count_as_moving(cases: ModuleType) -> None:
    pooling = replace(cases.WELL, canary=cases.NOT_APPLICABLE)
    assert after(cases, pooling, before=cases.REFUSED).verification is Verification.RECOVERED
    assert after(cases, replace(pooling, work=None), before=cases.REFUSED).verification is Verification.NOT_YET


def reaping(cases: ModuleType) -> Plan:
    plan: Plan = cases.plan(remediation="reap_orphans")
    return plan


def test_orphans_that_are_gone_are_enough_for_reaping(cases: ModuleType) -> None:
    same = cases.supervisor(RunState.FATAL)
    assert after(cases, cases.REFUSED, same, elapsed=3.0, plan=reaping(cases)) == Verdict(
        Verification.RECOVERED, "gpu1:8000 recovered after 3 s: no orphan is left; /health is refused"
    )


def test_orphans_that_stay_fail_after_thirty_seconds(cases: ModuleType) -> None:
    left = cases.supervisor(orphans=(cases.ENGINE,))
    assert after(cases, supervisor=left, elapsed=29.0, plan=reaping(cases)).verification is Verification.NOT_YET
    assert after(cases, supervisor=left, elapsed=30.0, plan=reaping(cases)) == Verdict(
        Verification.FAILED, "gpu1:8000 did not recover in 30 s: still there: engine_core pid 4712"
    )


def test_what_the_supervisor_starts_needs_no_other_process(cases: ModuleType) -> None:
    waiting = cases.plan(remediation="notify_only", destructive=False, verify=True)
    verdict = after(cases, supervisor=cases.supervisor(age=90.0), elapsed=90.0, plan=waiting)
    assert verdict == Verdict(
        Verification.RECOVERED, "gpu1:8000 recovered after 90 s: /health is ok and the canary answered in 0.2 s"
    )


@pytest.mark.parametrize(("elapsed", "verification"), [(1.0, Verification.NOT_YET), (600.0, Verification.FAILED)])
def test_a_remediation_whose_proof_nobody_knows_never_succeeds(
    cases: ModuleType, elapsed: float, verification: Verification
) -> None:
    verdict = after(cases, elapsed=elapsed, plan=cases.plan(remediation="faith"))
    assert verdict.verification is verification
    assert verdict.words.endswith("nobody knows how to prove 'faith'")


class Broken(Remediation):
    def prove(self, plan: Plan, evidence: Evidence) -> Proof:
        raise KeyError("work")


class Silent(Remediation):
    def prove(self, plan: Plan, evidence: Evidence) -> Proof:
        return Proof()


@pytest.mark.parametrize(
    ("remediation", "words"),
    [(Broken(), "its proof failed with KeyError: 'work'"), (Silent(), "nothing was seen that proves it")],
)
def test_a_proof_that_fails_or_shows_nothing_proves_nothing_and_ends(
    cases: ModuleType, remediation: Remediation, words: str
) -> None:
    evidence, known = Evidence(None, cases.WELL, cases.supervisor()), {"restart_engine": remediation}
    assert verify(cases.plan(), evidence, 42.0, 600.0, known).verification is Verification.NOT_YET
    assert verify(cases.plan(), evidence, 600.0, 600.0, known) == Verdict(
        Verification.FAILED, f"gpu1:8000 did not recover in 600 s: {words}"
    )


@pytest.mark.parametrize(
    ("remediation", "verification", "state"),
    [
        ("restart_engine", Verification.RECOVERED, IncidentState.HEALED),
        ("reap_orphans", Verification.RECOVERED, IncidentState.OPEN),  # the server may still be down
        ("restart_engine", Verification.FAILED, IncidentState.FAILED),
        ("reap_orphans", Verification.FAILED, IncidentState.FAILED),
        ("faith", Verification.FAILED, IncidentState.FAILED),
    ],
)
def test_the_remediation_says_what_follows_when_it_worked(
    cases: ModuleType, remediation: str, verification: Verification, state: IncidentState
) -> None:
    assert next_state(cases.plan(remediation=remediation), Verdict(verification, ""))[0] is state
