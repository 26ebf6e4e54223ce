"""Requests for approval: asked once, answered once, used once, and gone after a quarter of an hour."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.errors import NotWaiting
from vllm_healer.journal import Journal
from vllm_healer.ledger import Approval, Consent, Ledger
from vllm_healer.model import IncidentState, Instant, Permit, Plan, Refusal
from vllm_healer.retention import Retention


def refuse(ledger: Ledger) -> Refusal | None:
    return Refusal("approval", "it needs a person's approval")


def allow(ledger: Ledger) -> Refusal | None:
    return None


def known(journal: Journal, plan: Plan) -> Approval:
    found = journal.ledger(plan).approval
    assert found is not None
    return found


def asked(journal: Journal) -> list[str]:
    return [entry.words for entry in journal.history(100) if entry.kind == "approval"]


def test_what_is_refused_for_want_of_approval_is_asked_for_once(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    for seconds in (0, 5, 10):
        journal.reserve(plan, cases.at(seconds), refuse)
    assert asked(journal) == [
        "approval 1 is asked for: restart_engine of gpu1:8000, restart the engine; "
        "`vllm-healer approve 1` or `refuse 1` within 15 minutes"
    ]
    assert [one.id for one in journal.waiting_approvals(cases.at(10))] == [1]


def test_another_refusal_asks_nobody(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, lambda ledger: Refusal("paused", "the healer is paused"))
    assert (asked(journal), journal.waiting_approvals(cases.NOW)) == ([], ())


def test_an_approval_is_kept_with_who_gave_it_and_used_by_one_action(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    journal.reserve(plan, cases.NOW, refuse)
    journal.answer(1, Consent.APPROVED, "anna: seen", cases.at(60))
    approved = known(journal, plan)
    assert (approved.answer, approved.words, approved.answered, approved.used_by) == (
        Consent.APPROVED,
        "anna: seen",
        cases.at(60),
        0,
    )
    permit = journal.reserve(plan, cases.at(61), allow)
    assert isinstance(permit, Permit)
    assert known(journal, plan).used_by == permit.action
    assert asked(journal)[1] == "approval 1 (restart_engine of gpu1:8000) is approved by anna: seen"


def test_it_is_for_this_incident_this_process_and_this_remediation(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    journal.reserve(plan, cases.NOW, refuse)
    journal.answer(1, Consent.APPROVED, "anna", cases.at(60))
    for other in ({"incarnation": "boot-a/5000/120000"}, {"remediation": "reap_orphans"}, {"incident": 99}):
        assert journal.ledger(replace(plan, **other)).approval is None


def test_nobody_is_asked_again_after_a_refusal(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, refuse)
    journal.answer(1, Consent.REFUSED, "anna: I am at it", cases.at(60))
    journal.reserve(plan, cases.at(5000), refuse)
    assert known(journal, plan).answer is Consent.REFUSED
    assert journal.waiting_approvals(cases.at(5000)) == ()


def test_what_nobody_answered_expires_and_is_asked_anew(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, refuse)
    assert journal.waiting_approvals(cases.at(899)) != ()
    assert journal.waiting_approvals(cases.at(900)) == ()
    with pytest.raises(NotWaiting, match="approval 1 has expired; the healer asks again if it still wants to"):
        journal.answer(1, Consent.APPROVED, "anna", cases.at(901))
    journal.reserve(plan, cases.at(901), refuse)
    assert [one.id for one in journal.waiting_approvals(cases.at(901))] == [2]


def test_after_a_reboot_it_expires_by_the_wall_clock_too(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, refuse)
    next_day = Instant(cases.NOW.wall + 86_400.0, 1000.0, "boot-b")
    assert journal.waiting_approvals(next_day) == ()


@pytest.mark.parametrize(
    ("request_id", "message"), [(1, "approval 1 was approved already: anna"), (2, "there is no approval 2")]
)
def test_what_does_not_wait_cannot_be_answered(
    journal: Journal, plan: Plan, cases: ModuleType, request_id: int, message: str
) -> None:
    journal.reserve(plan, cases.NOW, refuse)
    journal.answer(1, Consent.APPROVED, "anna", cases.at(1))
    with pytest.raises(NotWaiting, match=message):
        journal.answer(request_id, Consent.REFUSED, "ben", cases.at(2))
    assert known(journal, plan).answer is Consent.APPROVED


def test_it_goes_with_its_incident(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, refuse)
    journal.set_state(plan.incident, IncidentState.RESOLVED, "nothing fires", cases.NOW)
    journal.open_incident("gpu2:8000", [], cases.NOW, "the newest incident stays")
    later = cases.at(91 * 86_400.0)
    while journal.prune(later, Retention()):
        pass
    assert journal.explain(plan.incident) == ()
    assert journal.ledger(plan).approval is None
