"""A journal with values that cannot be read: each costs itself, and the healer starts."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer.errors import JournalError
from vllm_healer.journal import Admission, Journal
from vllm_healer.model import IncidentState, Outcome, Result
from vllm_healer.ports import Clock

ADMISSION = Admission(frozenset({"gpu1:8000"}), frozenset({"VllmDown"}))
GARBAGE = ["", "not json", "null", "[]", "3", '{"a": 1}', "[1, 2]", "[" * 5000]


def spoil(path: Path, table: str, column: str, text: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (text,))


def fill(path: Path, clock: Clock, cases: ModuleType) -> None:
    """An incident with an action that was carried out and is not verified, and an alert that waits."""
    journal = Journal.open(path, clock)
    incident = journal.open_incident(cases.SERVER, [cases.alert("VllmEngineStalled")], cases.NOW, "stalled")
    permit = journal.reserve(cases.plan(incident=incident.id), cases.NOW, lambda ledger: None)
    journal.finish(permit.action, Result(Outcome.DONE, "restarted"), cases.NOW)  # type: ignore[union-attr]
    journal.record_alerts([cases.alert("VllmDown")], cases.NOW)
    journal.remember(cases.SERVER, cases.KEY, True, (), cases.NOW)
    journal.close()


@pytest.mark.parametrize("text", GARBAGE)
def test_a_journal_with_unreadable_values_opens_and_answers(
    path: Path, clock: Clock, cases: ModuleType, text: str
) -> None:
    fill(path, clock, cases)
    for table, column in (
        ("alerts", "labels"),
        ("alerts", "annotations"),
        ("entries", "data"),
        ("actions", "plan"),
        ("actions", "result"),
        ("trees", "processes"),
    ):
        spoil(path, table, column, text)
    journal = Journal.open(path, clock, admission=ADMISSION)
    (incident,), (action,) = journal.open_incidents(), journal.unfinished()
    assert (incident.server, [alert.server for alert in incident.alerts]) == (cases.SERVER, [""])
    plan = action.permit.plan
    assert (plan.server, plan.remediation, plan.destructive) == (cases.SERVER, "restart_engine", True)
    assert (plan.incarnation, plan.diagnosis.cause, plan.allowed) == ("", "unknown", False)
    assert action.result == Result(Outcome.FAILED, "its result cannot be read")
    memory = journal.memory(cases.SERVER)
    assert (memory.seen_ready, memory.trees) == (True, {cases.KEY: ()})
    assert journal.ledger(plan).entries[0].finished is False
    assert "stalled" in [entry.words for entry in journal.history(20)]
    journal.close()


def test_an_outcome_of_a_newer_release_counts_as_a_failure(path: Path, clock: Clock, cases: ModuleType) -> None:
    fill(path, clock, cases)
    spoil(path, "actions", "result", '{"outcome": "postponed", "words": "later"}')
    journal = Journal.open(path, clock)
    assert journal.unfinished()[0].result == Result(Outcome.FAILED, "its result cannot be read")
    journal.close()


def test_a_state_of_a_newer_release_is_for_a_person(path: Path, clock: Clock, cases: ModuleType) -> None:
    fill(path, clock, cases)
    spoil(path, "incidents", "state", "postponed")
    journal = Journal.open(path, clock)
    assert [incident.state for incident in journal.open_incidents()] == [IncidentState.FAILED]
    journal.close()


@pytest.mark.parametrize("version", ["one", "", "-5", None])
def test_a_journal_without_a_version_is_refused_in_words(
    path: Path, clock: Clock, cases: ModuleType, version: str | None
) -> None:
    fill(path, clock, cases)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key = 'schema'")
        if version is not None:
            connection.execute("INSERT INTO meta VALUES ('schema', ?)", (version,))
    with pytest.raises(JournalError, match="is not a healer's journal"):
        Journal.open(path, clock)


def test_the_database_of_another_program_gets_no_tables_of_ours(path: Path, clock: Clock) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    path.chmod(0o600)
    with pytest.raises(JournalError, match="is not a healer's journal; give --journal the file"):
        Journal.open(path, clock)
    with closing(sqlite3.connect(path)) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["songs"]


def test_a_pipe_in_the_place_of_the_lock_is_refused_in_words(path: Path, clock: Clock) -> None:
    os.mkfifo(path.with_name("journal.sqlite.lock"), 0o600)
    with pytest.raises(JournalError, match=r"lock is not a file; remove it"):
        Journal.open(path, clock)
