"""A failed action holds its pool back until the server is seen to work; and what the guards are shown of it."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.journal import Journal
from vllm_healer.ledger import Ledger, LedgerEntry
from vllm_healer.model import Outcome, Permit, Plan, Refusal, Result, Verdict, Verification

RECOVERED = Verdict(Verification.RECOVERED, "it answers")
GAVE_UP = Verdict(Verification.FAILED, "no answer in 600 s")


def allow(ledger: Ledger) -> Refusal | None:
    return None


def act(
    journal: Journal,
    plan: Plan,
    verdict: Verdict,
    cases: ModuleType,
    steps: tuple[str, ...] = (),
    outcome: Outcome = Outcome.DONE,
) -> None:
    """One action from intent to verdict."""
    permit = journal.reserve(plan, cases.NOW, allow)
    assert isinstance(permit, Permit)
    for step in steps:
        journal.step(permit.action, step, cases.at(1))
    journal.finish(permit.action, Result(outcome, "as it went"), cases.at(5))
    journal.conclude(permit.action, verdict, 42.0, cases.at(42))


def entries(journal: Journal, plan: Plan) -> tuple[LedgerEntry, ...]:
    return journal.ledger(plan).entries


def test_a_server_without_actions_has_nothing_to_settle(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    assert not journal.unsettled(plan.server)
    journal.settle(plan.server, "it answers again", cases.NOW)
    assert [entry.kind for entry in journal.history(10)] == ["incident"]


def test_an_action_that_helped_is_settled_from_the_start(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    act(journal, plan, RECOVERED, cases)
    assert not journal.unsettled(plan.server)


def test_an_action_under_way_is_not_yet_a_failed_one(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, allow)
    assert not journal.unsettled(plan.server)


def test_a_failed_action_is_unsettled_until_the_server_was_seen_to_work(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    act(journal, plan, GAVE_UP, cases)
    assert journal.unsettled(plan.server)
    assert [entry.recovered for entry in entries(journal, plan)] == [False]
    journal.settle(plan.server, "it answers again", cases.at(900))
    assert not journal.unsettled(plan.server)
    assert [entry.recovered for entry in entries(journal, plan)] == [True]
    last = journal.explain(plan.incident)[-1]
    assert (last.kind, last.words) == ("note", "restart_engine of gpu1:8000 is settled: it answers again")


@pytest.mark.parametrize(
    ("verdict", "outcome", "took"),
    [(RECOVERED, Outcome.DONE, 42.0), (GAVE_UP, Outcome.DONE, 0.0), (RECOVERED, Outcome.ALREADY, 0.0)],
)
def test_the_ledger_says_how_long_an_action_of_ours_took_to_prove_itself(
    journal: Journal, plan: Plan, cases: ModuleType, verdict: Verdict, outcome: Outcome, took: float
) -> None:
    """What another restarted says nothing about our own restart."""
    act(journal, plan, verdict, cases, outcome=outcome)
    assert [entry.took for entry in entries(journal, plan)] == [took]


def test_the_ledger_says_which_action_was_the_last_before_a_person_resumed(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    assert journal.ledger(plan).resumed == 0
    act(journal, plan, RECOVERED, cases)
    journal.resume("ann", cases.at(100))
    act(journal, plan, RECOVERED, cases)
    assert journal.ledger(plan).resumed == 1
    journal.resume("ann", cases.at(200))
    assert journal.ledger(plan).resumed == 2


def test_settling_is_told_once(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    act(journal, plan, GAVE_UP, cases)
    journal.settle(plan.server, "it answers again", cases.at(900))
    told = len(journal.history(100))
    journal.settle(plan.server, "it answers again", cases.at(915))
    assert len(journal.history(100)) == told


def test_settling_one_server_leaves_another_of_its_pool_unsettled(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    other = cases.plan(incident=plan.incident, server="gpu2:8000")
    act(journal, plan, GAVE_UP, cases)
    act(journal, other, GAVE_UP, cases)
    journal.settle(plan.server, "it answers again", cases.at(900))
    assert (journal.unsettled(plan.server), journal.unsettled("gpu2:8000")) == (False, True)
    assert [entry.recovered for entry in entries(journal, plan)] == [False, True]  # newest first


def test_settling_frees_no_action_that_is_still_under_way(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, allow)
    journal.settle(plan.server, "it answers", cases.at(10))
    assert [(entry.finished, entry.recovered) for entry in entries(journal, plan)] == [(False, False)]


def test_a_settled_action_still_teaches_that_it_failed(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    act(journal, plan, GAVE_UP, cases)
    journal.settle(plan.server, "it answers again", cases.at(900))
    assert [lesson.recovered for lesson in journal.lessons()] == [False]


@pytest.mark.parametrize(
    ("steps", "stopped"), [((), False), (("start",), False), (("stop",), True), (("stop", "stop", "start"), True)]
)
def test_the_ledger_says_whether_a_failed_action_had_begun_to_stop_its_server(
    journal: Journal, plan: Plan, cases: ModuleType, steps: tuple[str, ...], stopped: bool
) -> None:
    act(journal, plan, GAVE_UP, cases, steps, Outcome.FAILED)
    assert [entry.stopped for entry in entries(journal, plan)] == [stopped]


def test_an_action_that_stopped_its_server_and_has_no_result_yet_has_stopped_it(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    permit = journal.reserve(plan, cases.NOW, allow)
    assert isinstance(permit, Permit)
    journal.step(permit.action, "stop", cases.at(1))
    assert [entry.stopped for entry in entries(journal, plan)] == [True]


def test_a_server_that_was_started_again_was_not_left_stopped_even_if_it_never_answered(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    act(journal, plan, GAVE_UP, cases, ("stop", "start"))
    assert [entry.stopped for entry in entries(journal, plan)] == [False]


def test_the_ledger_names_the_incarnation_that_each_action_hit(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    act(journal, plan, RECOVERED, cases)
    act(journal, cases.plan(incident=plan.incident, incarnation="none"), GAVE_UP, cases)
    assert [entry.incarnation for entry in entries(journal, plan)] == ["none", "boot-a/4711/99000"]


def test_what_one_action_stopped_is_not_said_of_another(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    act(journal, plan, GAVE_UP, cases, ("stop",), Outcome.FAILED)
    act(journal, plan, GAVE_UP, cases)
    assert [entry.stopped for entry in entries(journal, plan)] == [False, True]


def test_a_person_who_resumes_settles_what_did_not_help_on_every_server(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    act(journal, plan, GAVE_UP, cases)
    act(journal, cases.plan(incident=plan.incident, server="gpu2:8000", pool="embed"), GAVE_UP, cases)
    journal.resume("anna: the model files are back", cases.at(900))
    assert journal.failing() == {}
    assert not journal.unsettled(plan.server)
    assert any("is settled: resumed by anna: the model files are back" in entry.words for entry in journal.history(9))


def test_counts_how_often_in_a_row_each_remedy_did_not_help(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    reap = cases.plan(incident=plan.incident, remediation="reap_orphans")
    other = cases.plan(incident=plan.incident, server="gpu2:8000", pool="embed")
    act(journal, plan, GAVE_UP, cases)
    act(journal, plan, RECOVERED, cases)
    act(journal, plan, GAVE_UP, cases)
    act(journal, plan, Verdict(Verification.DROPPED, "nothing was done: paused"), cases)
    act(journal, plan, GAVE_UP, cases)
    act(journal, reap, GAVE_UP, cases)
    act(journal, other, RECOVERED, cases)
    assert journal.failing() == {(plan.server, "restart_engine"): 2, (plan.server, "reap_orphans"): 1}
