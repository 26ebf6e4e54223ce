"""What is long over goes, a little at a time; what is open, unsettled or counted by a guard stays however old it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer.journal import Journal, prune, schema, store
from vllm_healer.ledger import Ledger
from vllm_healer.model import (
    Alert,
    IncidentState,
    Instant,
    Outcome,
    Permit,
    Plan,
    Refusal,
    Result,
    Verdict,
    Verification,
)
from vllm_healer.retention import Retention

RETENTION = Retention(incidents_days=90, alerts_days=7)
RECOVERED = Verdict(Verification.RECOVERED, "it answers")
GAVE_UP = Verdict(Verification.FAILED, "no answer in 600 s")


@pytest.fixture
def days(cases: ModuleType) -> Callable[[float], Instant]:
    """The moment so many days after the first, in the same boot."""
    return lambda number: cases.at(number * 86400.0)


def prune_all(journal: Journal, now: Instant) -> int:
    removed = 0
    while step := journal.prune(now, RETENTION):
        removed += step
    return removed


def allow(ledger: Ledger) -> Refusal | None:
    return None


def act(journal: Journal, plan: Plan, verdict: Verdict | None, now: Instant) -> None:
    permit = journal.reserve(plan, now, allow)
    assert isinstance(permit, Permit)
    journal.step(permit.action, "stop", now)
    journal.finish(permit.action, Result(Outcome.DONE, "as it went"), now)
    if verdict is not None:
        journal.conclude(permit.action, verdict, 42.0, now)


def rows(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        names = [
            table.name for table in (schema.alerts, schema.entries, schema.incidents, schema.actions, schema.steps)
        ]
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_an_incident_goes_with_all_that_belongs_to_it_after_ninety_days(
    journal: Journal, path: Path, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    alert = cases.alert()
    journal.record_alerts([alert], cases.NOW)
    incident = journal.open_incident(alert.server, [alert], cases.NOW, "fires")
    journal.note_finding(incident.id, "engine_stalled", "restart_engine", replace=True)
    journal.set_state(incident.id, IncidentState.RESOLVED, "it is gone", days(1))
    newer = journal.open_incident("gpu2:8000", [], days(80), "fires")
    before = rows(path)
    assert prune_all(journal, days(90.9)) == 1  # the sentence of the alert, which was heard without an incident
    assert rows(path) == {**before, "entries": before["entries"] - 1}
    prune_all(journal, days(91.1))
    assert rows(path) == {"alerts": 0, "entries": 1, "incidents": 1, "actions": 0, "steps": 0}
    assert [one.id for one in journal.summaries()] == [newer.id]


def test_the_number_of_what_is_gone_is_not_given_again(
    journal: Journal, plan: Plan, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    """A person has resumed after action 1: no later one may be taken for it."""
    told = cases.plan(incident=plan.incident, remediation="notify_only", destructive=False)
    act(journal, told, RECOVERED, cases.NOW)
    journal.set_state(plan.incident, IncidentState.RESOLVED, "it is gone", cases.NOW)
    prune_all(journal, days(91))
    later = journal.open_incident(plan.server, [], days(91), "fires")
    permit = journal.reserve(cases.plan(incident=later.id), days(91), allow)
    assert isinstance(permit, Permit)
    assert (later.id, permit.action) == (2, 2)


def test_alerts_of_no_incident_go_after_seven_days_with_their_sentences(
    journal: Journal, path: Path, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    over = [cases.alert(), cases.alert(firing=False)]
    journal.record_alerts(over, cases.NOW)
    journal.pause("anna: a new driver", cases.NOW)
    assert prune_all(journal, days(6.9)) == 0
    assert prune_all(journal, days(7.1)) == 4
    assert [entry.kind for entry in journal.history(9)] == ["pause"]
    assert journal.paused() == "anna: a new driver"


def test_an_alert_that_fires_and_waits_stays_until_an_incident_would_go(
    journal: Journal, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    """Its end may have been lost with a webhook: it must not take up a place for ever."""
    journal.record_alerts([cases.alert()], cases.NOW)
    prune_all(journal, days(89))
    assert len(journal.unassigned()) == 1
    prune_all(journal, days(91))
    assert journal.unassigned() == ()


def test_what_is_open_stays_however_old_it_is(
    journal: Journal, plan: Plan, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    act(journal, plan, None, cases.NOW)
    told = journal.explain(plan.incident)
    assert prune_all(journal, days(1000)) == 0
    journal.set_state(plan.incident, IncidentState.RESOLVED, "it is gone", cases.NOW)
    assert prune_all(journal, days(1000)) == 0  # its action has no verdict: somebody must free the pool
    assert len(journal.unfinished()) == 1
    assert journal.explain(plan.incident)[:-1] == told


def test_a_failure_that_nobody_has_settled_stays_and_one_that_is_settled_goes(
    journal: Journal, plan: Plan, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    act(journal, plan, GAVE_UP, cases.NOW)
    journal.set_state(plan.incident, IncidentState.FAILED, "it did not come back", cases.NOW)
    assert prune_all(journal, days(1000)) == 0
    assert journal.unsettled(plan.server)
    assert [one.needs_person for one in journal.summaries()] == [True]
    journal.settle(plan.server, "it answers", days(1000))
    assert prune_all(journal, days(1000)) > 0
    assert journal.explain(plan.incident) == ()


def test_guards_and_lessons_remember_what_was_done_although_its_story_is_gone(
    journal: Journal, plan: Plan, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    act(journal, plan, RECOVERED, cases.NOW)
    journal.set_state(plan.incident, IncidentState.HEALED, "it answers", cases.NOW)
    ledger, lessons = journal.ledger(plan), journal.lessons()
    assert prune_all(journal, days(91)) > 0
    assert journal.explain(plan.incident) == ()
    assert (journal.ledger(plan), journal.lessons()) == (ledger, lessons)
    assert len(ledger.entries) == len(lessons) == 1


def test_of_each_pool_the_newest_actions_are_remembered_and_no_more(
    journal: Journal, path: Path, cases: ModuleType, days: Callable[[float], Instant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "ENTRIES", 2)
    for server, pool in [("a:1", "chat"), ("b:1", "chat"), ("c:1", "chat"), ("d:1", "other")]:
        incident = journal.open_incident(server, [], cases.NOW, "fires").id
        act(journal, cases.plan(incident=incident, server=server, pool=pool), RECOVERED, cases.NOW)
        journal.set_state(incident, IncidentState.HEALED, "it answers", cases.NOW)
    prune_all(journal, days(91))
    assert [entry.server for entry in journal.ledger(cases.plan()).entries] == ["d:1", "c:1", "b:1"]
    assert rows(path) == {"alerts": 0, "entries": 0, "incidents": 3, "actions": 3, "steps": 3}


def test_a_wall_clock_that_was_set_forward_makes_nothing_old(
    journal: Journal, plan: Plan, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    journal.set_state(plan.incident, IncidentState.RESOLVED, "it is gone", cases.NOW)
    wrong = Instant(days(4000).wall, cases.at(60).boot, cases.NOW.boot_id)
    assert prune_all(journal, wrong) == 0
    assert prune_all(journal, Instant(days(91).wall, 60.0, "another boot")) > 0


def test_one_step_removes_a_few_rows_only(
    journal: Journal, path: Path, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    heard = [Alert(f"f{number}", "A", False, "t", {"alertname": "A"}, {}) for number in range(500)]
    journal.record_alerts(heard, cases.NOW)
    assert journal.prune(days(8), RETENTION) == 201  # with the one sentence of the storm
    assert rows(path)["alerts"] == 300


def test_the_file_shrinks_when_what_a_storm_left_is_gone(
    journal: Journal, path: Path, cases: ModuleType, days: Callable[[float], Instant]
) -> None:
    alerts = [Alert(f"f{number}", "A", True, "t", {"alertname": "A", "x": "x" * 900}, {}) for number in range(6000)]
    ended = [Alert(alert.fingerprint, "A", False, "t", dict(alert.labels), {}) for alert in alerts]
    journal.record_alerts(alerts, cases.NOW)
    journal.record_alerts(ended, cases.NOW)
    large = journal.size()
    prune_all(journal, days(8))
    while journal.give_back():
        pass
    journal.close()
    assert large > 12_000_000
    assert path.stat().st_size < store.SPARE * 4096 + 500_000


def test_a_journal_of_an_earlier_release_learns_to_shrink(path: Path, clock: object) -> None:
    recorded = Path(__file__).with_name("release_0_1_0.sql").read_text()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(recorded)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    journal = Journal.open(path, clock)  # type: ignore[arg-type]
    assert journal.paused() == "anna: upgrading the driver"
    journal.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_large_journal_of_an_earlier_release_is_left_as_it_is(
    path: Path, clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CONVERTED", 100)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("release_0_1_0.sql").read_text())
    journal = Journal.open(path, clock)  # type: ignore[arg-type]
    assert not journal.give_back()
    journal.close()


def test_every_table_that_names_an_incident_or_an_action_is_pruned_with_it() -> None:
    """Another one belongs into prune.py too: while its rows are there, what they name cannot go."""
    naming = {
        table.name
        for table in schema.metadata.sorted_tables
        for key in table.foreign_keys
        if key.column.table in (schema.incidents, schema.actions)
    }
    assert naming == {"alerts", "entries", "actions", "findings", "approvals", "steps"}
