"""What is known of incidents: cause and remedy, who needs a person, and what refused last."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.journal import Journal
from vllm_healer.model import IncidentState, Plan, Refusal


def refuse(journal: Journal, plan: Plan, reason: str, cases: ModuleType) -> None:
    journal.reserve(plan, cases.NOW, lambda _: Refusal(reason, "words"))


def test_the_first_finding_stays_until_one_that_asks_for_an_action(journal: Journal, plan: Plan) -> None:
    for cause, remedy, replace in (
        ("unknown", "notify_only", False),
        ("none", "notify_only", False),
        ("engine_stalled", "restart_engine", True),
        ("none", "notify_only", False),
    ):
        journal.note_finding(plan.incident, cause, remedy, replace)
    [found] = journal.summaries()
    assert (found.cause, found.remediation) == ("engine_stalled", "restart_engine")


def test_the_last_refusal_counts_until_something_is_intended(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    assert journal.summaries()[0].refused == ""
    refuse(journal, plan, "blind", cases)
    refuse(journal, plan, "cooldown", cases)
    assert journal.summaries()[0].refused == "cooldown"
    journal.reserve(plan, cases.NOW, lambda _: None)
    assert journal.summaries()[0].refused == ""


def test_a_failed_incident_needs_a_person_until_another_of_that_server_is_healed(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    journal.set_state(plan.incident, IncidentState.FAILED, "not healed", cases.NOW)
    other = journal.open_incident("gpu2:8000", [], cases.NOW, "down")
    journal.set_state(other.id, IncidentState.HEALED, "healed", cases.NOW)
    assert journal.unsettled(cases.SERVER)
    again = journal.open_incident(cases.SERVER, [], cases.NOW, "stalled")
    journal.set_state(again.id, IncidentState.HEALED, "healed", cases.NOW)
    assert not journal.unsettled(cases.SERVER)
    assert not any(one.needs_person for one in journal.summaries())


def test_what_was_resolved_without_an_action_needs_nobody(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.set_state(plan.incident, IncidentState.RESOLVED, "no alert of it is active", cases.NOW)
    [found] = journal.summaries()
    assert (found.state, found.closed, found.needs_person) == (IncidentState.RESOLVED, cases.NOW.wall, False)


def test_a_failed_incident_is_remembered_behind_any_number_of_later_ones(
    journal: Journal, plan: Plan, cases: ModuleType
) -> None:
    journal.set_state(plan.incident, IncidentState.FAILED, "not healed", cases.NOW)
    for number in range(210):
        later = journal.open_incident(f"x{number}:1", [], cases.NOW, "down")
        journal.set_state(later.id, IncidentState.RESOLVED, "gone", cases.NOW)
    found = journal.summaries()
    assert found[0].id == plan.incident
    assert len(found) == 201
