"""What the worker asks every second is read again only after a commit, and then always."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import event

from vllm_healer.errors import JournalError
from vllm_healer.journal import Journal
from vllm_healer.model import IncidentState


@pytest.fixture
def reads(journal: Journal) -> list[str]:
    """The statements of the reading side."""
    seen: list[str] = []

    @event.listens_for(journal._reader, "before_cursor_execute")
    def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    return seen


def ask(journal: Journal) -> tuple[int, int, int, str]:
    counts = journal.incident_counts()
    return len(journal.unassigned()), len(journal.open_incidents()), counts[IncidentState.HEALED], journal.paused()


def test_a_journal_in_which_nothing_happens_is_not_read_again(journal: Journal, reads: list[str]) -> None:
    assert ask(journal) == (0, 0, 0, "")
    once = len(reads)
    for _ in range(10):
        ask(journal)
    assert len(reads) == once > 0


def test_every_write_is_seen_by_the_next_question(journal: Journal, cases: ModuleType) -> None:
    assert ask(journal) == (0, 0, 0, "")
    journal.record_alerts([cases.alert()], cases.NOW)
    assert ask(journal) == (1, 0, 0, "")
    incident = journal.open_incident(cases.SERVER, journal.unassigned(), cases.NOW, "it hangs")
    assert ask(journal) == (0, 1, 0, "")
    journal.pause("anna", cases.NOW)
    assert ask(journal) == (0, 1, 0, "anna")
    journal.set_state(incident.id, IncidentState.HEALED, "it answers", cases.at(60))
    assert ask(journal) == (0, 0, 1, "anna")


def test_a_write_that_failed_changes_no_answer(journal: Journal, cases: ModuleType) -> None:
    journal.open_incident(cases.SERVER, [], cases.NOW, "it hangs")
    before = ask(journal)
    with pytest.raises(JournalError):
        journal.set_state(99, IncidentState.HEALED, "there is none", cases.NOW)
    assert ask(journal) == before == (0, 1, 0, "")
