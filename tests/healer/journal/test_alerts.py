from __future__ import annotations

import time
from dataclasses import replace
from types import ModuleType

from sqlalchemy import event

from vllm_healer.journal import Journal
from vllm_healer.model import Alert, IncidentState, Standing

START = "2023-11-14T22:13:20Z"
LATER = "2023-11-14T23:00:00Z"


def alert(starts_at: str = START, firing: bool = True, fingerprint: str = "f1") -> Alert:
    labels = {"alertname": "VllmDown", "server": "gpu1:8000"}
    return Alert(fingerprint, "VllmDown", firing, starts_at, labels, {"summary": "no answer"})


def test_three_deliveries_are_one_row_counted_three_times(journal: Journal, cases: ModuleType) -> None:
    for seconds in (0, 15, 30):
        journal.record_alerts([alert()], cases.at(seconds))
    (stored,) = journal.unassigned()
    assert stored.deliveries == 3
    assert stored.received == cases.NOW
    assert [entry.words for entry in journal.history(10)] == ["VllmDown on gpu1:8000 fires: no answer"]


def test_gives_back_what_it_was_given(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert()], cases.NOW)
    (stored,) = journal.unassigned()
    assert (stored.fingerprint, stored.name, stored.firing, stored.starts_at) == ("f1", "VllmDown", True, START)
    assert stored.labels == {"alertname": "VllmDown", "server": "gpu1:8000"}
    assert stored.annotations == {"summary": "no answer"}


def test_a_resolved_alert_waits_for_no_incident(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert()], cases.NOW)
    journal.record_alerts([alert(firing=False)], cases.at(60))
    assert journal.unassigned() == ()
    assert [entry.words for entry in journal.history(1)] == ["VllmDown on gpu1:8000 is resolved"]


def test_an_alert_that_only_ever_resolved_is_nothing_to_do(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert(firing=False)], cases.NOW)
    assert journal.unassigned() == ()


def test_no_alerts_write_nothing(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([], cases.NOW)
    assert journal.history(10) == ()


def test_a_new_firing_period_is_a_new_row(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert()], cases.NOW)
    journal.record_alerts([alert(firing=False)], cases.at(60))
    journal.record_alerts([alert(LATER)], cases.at(120))
    assert [stored.starts_at for stored in journal.unassigned()] == [LATER]


def test_the_webhooks_and_the_apis_spelling_of_one_start_are_one_row(journal: Journal, cases: ModuleType) -> None:
    """The webhook writes nanoseconds in Alertmanager's zone, the API milliseconds in UTC."""
    journal.record_alerts([alert("2023-11-14T23:13:20.739266876+01:00")], cases.NOW)
    journal.record_alerts([alert("2023-11-14T22:13:20.739Z")], cases.at(15))
    assert [stored.deliveries for stored in journal.unassigned()] == [2]


def test_a_start_that_is_no_time_is_kept_as_it_is(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert("yesterday"), alert("yesterday")], cases.NOW)
    assert [stored.starts_at for stored in journal.unassigned()] == ["yesterday"]


def test_the_alerts_of_an_incident_show_that_they_resolved(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert()], cases.NOW)
    incident = journal.open_incident("gpu1:8000", journal.unassigned(), cases.NOW, "down")
    journal.record_alerts([alert(firing=False)], cases.at(60))
    assert [member.firing for member in journal.open_incidents()[0].alerts] == [False]
    assert [entry.words for entry in journal.explain(incident.id)] == ["down", "VllmDown on gpu1:8000 is resolved"]


def test_an_alert_taken_up_again_stays_in_its_open_incident(journal: Journal, cases: ModuleType) -> None:
    """Prometheus was away: Alertmanager resolved the alert and takes it up with its old start."""
    journal.record_alerts([alert()], cases.NOW)
    journal.open_incident("gpu1:8000", journal.unassigned(), cases.NOW, "down")
    journal.record_alerts([alert(firing=False)], cases.at(60))
    journal.record_alerts([alert()], cases.at(120))
    assert journal.unassigned() == ()
    assert [member.firing for member in journal.open_incidents()[0].alerts] == [True]


def test_an_alert_taken_up_again_after_its_incident_closed_is_looked_at_anew(
    journal: Journal, cases: ModuleType
) -> None:
    journal.record_alerts([alert()], cases.NOW)
    incident = journal.open_incident("gpu1:8000", journal.unassigned(), cases.NOW, "down")
    journal.record_alerts([alert(firing=False)], cases.at(60))
    journal.set_state(incident.id, IncidentState.RESOLVED, "it is back", cases.at(61))
    journal.record_alerts([alert()], cases.at(120))
    assert [stored.name for stored in journal.unassigned()] == ["VllmDown"]


def test_an_echo_of_a_closed_incident_stays_with_it(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert()], cases.NOW)
    incident = journal.open_incident("gpu1:8000", journal.unassigned(), cases.NOW, "down")
    journal.set_state(incident.id, IncidentState.HEALED, "it is back", cases.at(30))
    journal.record_alerts([alert()], cases.at(40))
    assert journal.unassigned() == ()


def test_a_storm_of_alerts_is_one_sentence(journal: Journal, cases: ModuleType) -> None:
    journal.record_alerts([alert(fingerprint=f"f{number}") for number in range(21)], cases.NOW)
    assert [entry.words for entry in journal.history(10)] == ["21 alerts came at once: VllmDown x21"]
    assert len(journal.unassigned()) == 21


def test_ten_thousand_alerts_at_once_are_written_by_a_few_statements_in_two_seconds_of_cpu(
    journal: Journal, cases: ModuleType
) -> None:
    """Neither depends on what else the machine does, as the time on a clock would."""
    burst = [replace(alert(), fingerprint=f"{number:016x}") for number in range(10_000)]
    statements: list[object] = []
    commits: list[object] = []
    engine = journal._writer._engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    event.listen(engine, "commit", commits.append)
    started = time.process_time()
    journal.record_alerts(burst, cases.NOW)
    assert time.process_time() - started < 2.0
    assert len(statements) < 100
    assert len(commits) == 1
    assert len(journal.unassigned()) == 10_000


def test_text_of_strangers_cannot_break_a_line_or_a_terminal(journal: Journal, cases: ModuleType) -> None:
    evil = replace(alert(), annotations={"summary": "a\nforged entry \x1b[2J\x07 end"})
    journal.record_alerts([evil], cases.NOW)
    assert [entry.words for entry in journal.history(1)] == ["VllmDown on gpu1:8000 fires: a forged entry [2J end"]


def test_what_was_only_read_from_alertmanager_was_brought_by_no_webhook(journal: Journal, cases: ModuleType) -> None:
    alert = cases.alert("VllmDown")
    incident = journal.open_incident(cases.SERVER, [alert], cases.NOW, "VllmDown fires")
    (read,) = incident.alerts
    assert read.standing is Standing.UNKNOWN
    journal.record_alerts([alert], cases.at(5))
    (heard,) = journal.open_incidents()[0].alerts
    assert heard.standing is Standing.SENT
    journal.record_alerts([cases.alert("VllmDown", firing=False)], cases.at(9))
    (ended,) = journal.open_incidents()[0].alerts
    assert (ended.firing, ended.standing) == (False, Standing.UNKNOWN)
