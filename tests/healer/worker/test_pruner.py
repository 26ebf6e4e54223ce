"""The pruner goes on while there is something to remove, then rests for an hour; its errors cost nobody anything."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import pytest

from tests.patience import wait_for
from vllm_healer.errors import JournalError
from vllm_healer.retention import Retention
from vllm_healer.worker import pruner
from vllm_healer.worker.pruner import EVERY, REST, Pruner


class FakeJournal:
    def __init__(self, old: int = 0, free: int = 0, trouble: Exception | None = None) -> None:
        self.old, self.free, self.trouble = old, free, trouble
        self.asked = 0

    def prune(self, now: object, retention: object) -> int:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        removed = min(self.old, 200)
        self.old -= removed
        return removed

    def give_back(self) -> bool:
        self.free -= 1
        return self.free > 0


class StandingClock:
    def __init__(self, now: object) -> None:
        self.now = lambda: now


def make(journal: Any, cases: ModuleType) -> Pruner:
    return Pruner(journal, StandingClock(cases.NOW), Retention())  # type: ignore[arg-type]


def test_removes_first_then_gives_space_back_and_then_rests(
    cases: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    journal = FakeJournal(old=300, free=2)
    one = make(journal, cases)
    with caplog.at_level(logging.INFO):
        assert [one.step() for _ in range(5)] == [REST, REST, REST, EVERY, EVERY]
    assert [record.message for record in caplog.records] == [
        "pruned the journal: 300 rows that were over and old enough"
    ]


@pytest.mark.parametrize("trouble", [JournalError("its disk is full"), RuntimeError("a defect")])
def test_goes_on_after_an_error(
    cases: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    monkeypatch.setattr(pruner, "FIRST", 0.0)
    monkeypatch.setattr(pruner, "EVERY", 0.001)
    journal = FakeJournal(trouble=trouble)
    one = make(journal, cases)
    one.start()
    wait_for(lambda: journal.asked > 2)
    one.stop()
    assert "the journal is not pruned" in caplog.text


def test_does_nothing_in_the_first_minutes(cases: ModuleType) -> None:
    """A host that was just booted may not know the time yet."""
    journal = FakeJournal(old=1)
    one = make(journal, cases)
    one.start()
    one.stop()
    one._thread.join()
    assert journal.asked == 0
