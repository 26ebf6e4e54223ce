from __future__ import annotations

import threading
from types import ModuleType

import pytest

from vllm_healer.errors import JournalError
from vllm_healer.journal import Journal
from vllm_healer.ledger import Ledger
from vllm_healer.model import Lesson, Outcome, Permit, Plan, Refusal, Result, Verdict, Verification

DONE = Result(Outcome.DONE, "restarted", "boot-a/5000/1")
RECOVERED = Verdict(Verification.RECOVERED, "it answers")
GAVE_UP = Verdict(Verification.FAILED, "no answer in 600 s")


def allow(ledger: Ledger) -> Refusal | None:
    return None


@pytest.fixture
def permit(journal: Journal, plan: Plan, cases: ModuleType) -> Permit:
    decision = journal.reserve(plan, cases.NOW, allow)
    assert isinstance(decision, Permit)
    return decision


def test_a_permit_is_a_journalled_intent(journal: Journal, permit: Permit, plan: Plan, cases: ModuleType) -> None:
    (open_action,) = journal.unfinished()
    assert open_action.permit == permit == Permit(permit.action, plan, cases.NOW)
    assert (open_action.steps, open_action.result) == ((), None)
    assert journal.explain(plan.incident)[-1].words == "restart_engine of gpu1:8000 is intended: restart the engine"


def test_two_threads_that_reserve_one_pool_get_one_permit(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    """Even when the check of both sees nothing against it."""
    barrier, decisions = threading.Barrier(2), []

    def reserve() -> None:
        barrier.wait()
        decisions.append(journal.reserve(plan, cases.NOW, allow))

    threads = [threading.Thread(target=reserve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refusals = [decision for decision in decisions if isinstance(decision, Refusal)]
    assert [refusal.reason for refusal in refusals] == ["pool_locked"]
    assert len(journal.unfinished()) == 1


def test_the_check_sees_what_was_done_before(journal: Journal, permit: Permit, plan: Plan, cases: ModuleType) -> None:
    journal.finish(permit.action, DONE, cases.at(5))
    journal.conclude(permit.action, RECOVERED, 42.0, cases.at(42))
    ledgers: list[Ledger] = []

    def look(ledger: Ledger) -> Refusal:
        ledgers.append(ledger)
        return Refusal("cooldown", "240 s left")

    assert journal.reserve(plan, cases.at(60), look) == Refusal("cooldown", "240 s left")
    (entry,) = ledgers[0].entries
    assert (entry.action, entry.server, entry.pool, entry.remediation) == (1, "gpu1:8000", "chat", "restart_engine")
    assert (entry.at, entry.finished, entry.recovered) == (cases.NOW, True, True)
    assert journal.unfinished() == ()


def test_the_ledger_has_actions_of_other_pools_for_the_budget_of_all(
    journal: Journal, permit: Permit, cases: ModuleType
) -> None:
    elsewhere = cases.plan(incident=1, server="gpu2:8000", pool="embed")
    assert [(entry.action, entry.finished) for entry in journal.ledger(elsewhere).entries] == [(permit.action, False)]
    journal.conclude(permit.action, GAVE_UP, 600.0, cases.at(600))
    assert [(entry.action, entry.finished) for entry in journal.ledger(elsewhere).entries] == [(permit.action, True)]


def test_the_ledger_knows_a_server_that_changed_its_pool(journal: Journal, permit: Permit, cases: ModuleType) -> None:
    journal.conclude(permit.action, GAVE_UP, 600.0, cases.at(600))
    (entry,) = journal.ledger(cases.plan(pool="renamed")).entries
    assert (entry.finished, entry.recovered) == (True, False)


def test_the_pool_is_free_only_after_the_verdict(
    journal: Journal, permit: Permit, plan: Plan, cases: ModuleType
) -> None:
    journal.finish(permit.action, DONE, cases.at(5))
    assert isinstance(journal.reserve(plan, cases.at(10), allow), Refusal)
    journal.conclude(permit.action, RECOVERED, 42.0, cases.at(42))
    assert isinstance(journal.reserve(plan, cases.at(50), allow), Permit)


def test_telling_people_needs_no_free_pool(journal: Journal, permit: Permit, plan: Plan, cases: ModuleType) -> None:
    tell = cases.plan(incident=plan.incident, remediation="notify_only", destructive=False)
    assert isinstance(journal.reserve(tell, cases.at(1), allow), Permit)
    assert [entry.action for entry in journal.ledger(plan).entries] == [permit.action]


def test_one_refusal_is_one_sentence_while_it_only_counts_down(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    for seconds in range(0, 300, 5):
        refusal = Refusal("cooldown", f"{300 - seconds} s left")
        journal.reserve(plan, cases.at(seconds), lambda ledger, refusal=refusal: refusal)  # type: ignore[misc]
    (entry,) = [entry for entry in journal.explain(plan.incident) if entry.kind == "refusal"]
    assert entry.words == "would have done restart_engine of gpu1:8000, refused: cooldown, 300 s left"
    assert entry.data == {"reason": "cooldown", "remediation": "restart_engine"}


def test_the_same_refusal_for_another_reason_is_told(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    """Prometheus answers 403, then 502 on and on: the history would show 403 for five minutes."""
    for seconds in range(0, 60, 5):
        blind = Refusal("blind", f"Prometheus answered HTTP {403 if seconds < 10 else 502}")
        journal.reserve(plan, cases.at(seconds), lambda ledger, blind=blind: blind)  # type: ignore[misc]
    told = [entry.words for entry in journal.explain(plan.incident) if entry.kind == "refusal"]
    assert [words.rpartition(" ")[2] for words in told] == ["403", "502"]


def test_a_refusal_is_told_again_when_it_changes_or_gets_old(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    for seconds, reason in ((0, "cooldown"), (5, "paused"), (10, "cooldown"), (310, "cooldown"), (311, "cooldown")):
        journal.reserve(plan, cases.at(seconds), lambda ledger, reason=reason: Refusal(reason, ""))  # type: ignore[misc]
    reasons = [entry.at for entry in journal.explain(plan.incident) if entry.kind == "refusal"]
    assert reasons == [1_700_000_000.0, 1_700_000_005.0, 1_700_000_010.0, 1_700_000_311.0]


def test_a_check_that_raises_reserves_nothing(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    def broken(ledger: Ledger) -> Refusal | None:
        raise LookupError("defect in a guard")

    with pytest.raises(LookupError, match="defect in a guard"):
        journal.reserve(plan, cases.NOW, broken)
    assert journal.unfinished() == ()


def test_a_restarted_healer_finds_how_far_it_was(journal: Journal, permit: Permit, cases: ModuleType) -> None:
    journal.step(permit.action, "stop", cases.at(1))
    journal.step(permit.action, "start", cases.at(3))
    assert journal.steps(permit.action) == ("stop", "start")
    assert [found.steps for found in journal.unfinished()] == [("stop", "start")]
    journal.finish(permit.action, DONE, cases.at(5))
    assert [found.result for found in journal.unfinished()] == [DONE]


def test_the_story_reads_from_intent_to_verdict(
    journal: Journal, permit: Permit, plan: Plan, cases: ModuleType
) -> None:
    journal.step(permit.action, "stop", cases.at(1))
    journal.finish(permit.action, DONE, cases.at(5))
    journal.conclude(permit.action, RECOVERED, 42.4, cases.at(42))
    assert [(entry.kind, entry.words) for entry in journal.explain(plan.incident)] == [
        ("incident", "stalled"),
        ("intent", "restart_engine of gpu1:8000 is intended: restart the engine"),
        ("step", "restart_engine of gpu1:8000: stop"),
        ("result", "restart_engine of gpu1:8000: done, restarted"),
        ("verdict", "restart_engine of gpu1:8000: recovered, it answers"),
    ]


def test_only_verified_actions_of_its_own_teach(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    outcomes = ((Outcome.DONE, RECOVERED), (Outcome.ALREADY, RECOVERED), (Outcome.FAILED, GAVE_UP))
    for outcome, verdict in outcomes:
        decision = journal.reserve(plan, cases.NOW, allow)
        assert isinstance(decision, Permit)
        journal.finish(decision.action, Result(outcome, "words"), cases.at(5))
        journal.conclude(decision.action, verdict, 42.0, cases.at(42))
    assert isinstance(journal.reserve(plan, cases.at(99), allow), Permit)
    assert journal.lessons() == (
        Lesson("restart_engine", "engine_stalled", True, 42.0),
        Lesson("restart_engine", "engine_stalled", False, 42.0),
    )


def test_verification_cannot_end_undecided(journal: Journal, permit: Permit, cases: ModuleType) -> None:
    with pytest.raises(ValueError, match="cannot end with the verdict 'not_yet'"):
        journal.conclude(permit.action, Verdict(Verification.NOT_YET, "starting"), 5.0, cases.at(5))
    assert len(journal.unfinished()) == 1


def test_an_unknown_action_is_an_error(journal: Journal, cases: ModuleType) -> None:
    with pytest.raises(JournalError, match="there is no action 99 in the journal"):
        journal.step(99, "stop", cases.NOW)


def test_the_pause_is_in_the_ledger_and_outlives_the_journal(
    journal: Journal, plan: Plan, cases: ModuleType, path: object, clock: object
) -> None:
    journal.pause("alice: deploying", cases.NOW)
    assert journal.ledger(plan).paused == "alice: deploying"
    journal.close()
    reopened = Journal.open(path, clock)  # type: ignore[arg-type]
    assert reopened.paused() == "alice: deploying"
    reopened.resume("alice: deployed", cases.at(60))
    assert reopened.paused() == ""
    assert [entry.words for entry in reopened.history(2)] == ["paused: alice: deploying", "resumed: alice: deployed"]
    reopened.close()


def test_a_pause_without_words_is_a_pause(journal: Journal, cases: ModuleType) -> None:
    journal.pause("", cases.NOW)
    assert journal.paused() == "paused, no reason given"


@pytest.mark.parametrize(("outcome", "stopped"), [(None, True), (Outcome.FAILED, True), (Outcome.DONE, False)])
def test_a_server_that_was_started_again_is_not_left_stopped_by_us(
    journal: Journal, permit: Permit, plan: Plan, cases: ModuleType, outcome: Outcome | None, stopped: bool
) -> None:
    journal.step(permit.action, "stop", cases.at(1))
    if outcome is not None:
        journal.finish(permit.action, Result(outcome, "words"), cases.at(5))
    assert [entry.stopped for entry in journal.ledger(plan).entries] == [stopped]


def test_an_action_dropped_before_it_began_holds_nothing_back_and_teaches_nothing(
    journal: Journal, permit: Permit, plan: Plan, cases: ModuleType
) -> None:
    journal.conclude(permit.action, Verdict(Verification.DROPPED, "nothing was done: paused"), 130.0, cases.at(130))
    assert [(entry.finished, entry.recovered) for entry in journal.ledger(plan).entries] == [(True, True)]
    assert not journal.unsettled(plan.server)
    assert journal.lessons() == ()
