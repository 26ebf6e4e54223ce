from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.errors import JournalError
from vllm_healer.journal import Journal
from vllm_healer.model import IncidentState, Permit, Verdict, Verification


def test_an_incident_has_its_alerts_and_its_reason(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([cases.alert("VllmDown"), cases.alert("VllmEngineStalled")], cases.NOW)
    incident = journal.open_incident(cases.SERVER, journal.unassigned(), cases.NOW, "two alerts of gpu1:8000")
    assert (incident.server, incident.state, incident.opened) == (cases.SERVER, IncidentState.OPEN, cases.NOW)
    assert [alert.name for alert in incident.alerts] == ["VllmDown", "VllmEngineStalled"]
    assert journal.open_incidents() == (incident,)
    assert journal.unassigned() == ()
    assert [entry.words for entry in journal.explain(incident.id)] == ["two alerts of gpu1:8000"]


def test_a_server_has_one_open_incident_at_most(journal: Journal, cases: ModuleType) -> None:
    first = journal.open_incident(cases.SERVER, [cases.alert("VllmDown")], cases.NOW, "down")
    again = journal.open_incident(cases.SERVER, [cases.alert("VllmEngineStalled")], cases.at(5), "stalled")
    assert again.id == first.id
    assert [alert.name for alert in again.alerts] == ["VllmDown", "VllmEngineStalled"]


def test_takes_alerts_that_no_webhook_brought(journal: Journal, cases: ModuleType) -> None:
    incident = journal.open_incident(cases.SERVER, [cases.alert("VllmDown")], cases.NOW, "Alertmanager says so")
    assert [alert.name for alert in incident.alerts] == ["VllmDown"]
    journal.record_alerts([cases.alert("VllmDown")], cases.at(10))
    assert journal.unassigned() == ()


def test_one_alert_listed_twice_joins_once(journal: Journal, cases: ModuleType) -> None:
    both = [cases.alert("VllmDown"), cases.alert("VllmDown")]
    assert len(journal.open_incident(cases.SERVER, both, cases.NOW, "down").alerts) == 1


def test_an_incident_may_have_no_alert(journal: Journal, cases: ModuleType) -> None:
    assert journal.open_incident(cases.SERVER, [], cases.NOW, "supervisord says FATAL").alerts == ()


def test_attached_alerts_are_named_in_its_story(journal: Journal, cases: ModuleType) -> None:
    incident = journal.open_incident(cases.SERVER, [cases.alert("VllmDown")], cases.NOW, "down")
    journal.record_alerts([cases.alert("VllmProcessOrphaned")], cases.at(5))
    journal.attach(incident.id, journal.unassigned())
    assert journal.explain(incident.id)[-1].words == "VllmProcessOrphaned on gpu1:8000 joined the incident"
    assert [alert.name for alert in journal.open_incidents()[0].alerts] == ["VllmDown", "VllmProcessOrphaned"]


@pytest.mark.parametrize("state", [IncidentState.ACTING, IncidentState.VERIFYING])
def test_acting_and_verifying_are_open(journal: Journal, cases: ModuleType, state: IncidentState) -> None:
    incident = journal.open_incident(cases.SERVER, [], cases.NOW, "down")
    journal.set_state(incident.id, state, "restarting", cases.at(5))
    assert [found.state for found in journal.open_incidents()] == [state]
    assert journal.last_closed(cases.SERVER) is None


@pytest.mark.parametrize("state", [IncidentState.HEALED, IncidentState.FAILED, IncidentState.RESOLVED])
def test_a_closed_incident_says_when_it_was_closed(journal: Journal, cases: ModuleType, state: IncidentState) -> None:
    incident = journal.open_incident(cases.SERVER, [], cases.NOW, "down")
    journal.set_state(incident.id, state, "over", cases.at(90))
    closed = journal.last_closed(cases.SERVER)
    assert closed is not None
    assert (closed[0].id, closed[0].state, closed[1]) == (incident.id, state, cases.at(90))
    assert journal.open_incidents() == ()


def test_the_last_closed_one_is_the_newest_of_this_server(journal: Journal, cases: ModuleType) -> None:
    for seconds, server in ((0, cases.SERVER), (10, cases.SERVER), (20, "gpu2:8000")):
        incident = journal.open_incident(server, [], cases.at(seconds), "down")
        journal.set_state(incident.id, IncidentState.RESOLVED, "over", cases.at(seconds + 5))
    closed = journal.last_closed(cases.SERVER)
    assert closed is not None
    assert closed[1] == cases.at(15)


def test_counts_every_state(journal: Journal, cases: ModuleType) -> None:
    journal.open_incident(cases.SERVER, [], cases.NOW, "down")
    counts = journal.incident_counts()
    assert counts[IncidentState.OPEN] == 1
    assert counts[IncidentState.HEALED] == 0


def test_an_unknown_incident_is_an_error(journal: Journal, cases: ModuleType) -> None:
    with pytest.raises(JournalError, match="there is no incident 99 in the journal"):
        journal.set_state(99, IncidentState.HEALED, "over", cases.NOW)
    with pytest.raises(JournalError, match="there is no incident 99 in the journal"):
        journal.attach(99, [])


def test_a_note_of_an_unknown_incident_is_an_error(journal: Journal, cases: ModuleType) -> None:
    with pytest.raises(JournalError):
        journal.note(99, "note", "lost", cases.NOW)


def test_history_is_the_newest_oldest_first(journal: Journal, cases: ModuleType) -> None:
    for number in range(5):
        journal.note(None, "note", f"sentence {number}", cases.at(number), {"number": number})
    found = journal.history(2)
    assert [entry.words for entry in found] == ["sentence 3", "sentence 4"]
    assert (found[1].kind, found[1].incident, found[1].data) == ("note", None, {"number": 4})
    assert found[1].at == 1_700_000_004.0


def test_a_long_sentence_is_cut(journal: Journal, cases: ModuleType) -> None:
    journal.note(None, "note", "x" * 600, cases.NOW)
    assert journal.history(1)[0].words == "x" * 499 + "…"


def test_an_incident_closed_under_its_action_stays_open_until_that_has_a_verdict(
    journal: Journal, cases: ModuleType
) -> None:
    incident = journal.open_incident(cases.SERVER, [], cases.NOW, "stalled")
    permit = journal.reserve(cases.plan(incident=incident.id), cases.NOW, lambda ledger: None)
    assert isinstance(permit, Permit)
    journal.set_state(incident.id, IncidentState.RESOLVED, "nothing fires", cases.at(30))
    assert [found.id for found in journal.open_incidents()] == [incident.id]
    assert journal.open_incident(cases.SERVER, [], cases.at(31), "again").id == incident.id
    journal.conclude(permit.action, Verdict(Verification.RECOVERED, "it answers"), 40.0, cases.at(40))
    assert journal.open_incidents() == ()
