"""Readiness: it writes, once a second, so that a full disk is seen before an alert is refused."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text

from vllm_healer.errors import JournalError
from vllm_healer.journal import Journal
from vllm_healer.journal.probe import Probe
from vllm_healer.model import Instant


def pages(journal: Journal) -> int:
    """Of the write-ahead log."""
    return journal.path.with_name(f"{journal.path.name}-wal").stat().st_size


def test_each_question_writes(journal: Journal, clock: Any, cases: ModuleType) -> None:
    journal.check_writable()
    before = pages(journal)
    clock.time = cases.at(1)
    journal.check_writable()
    assert pages(journal) >= before + 2 * 4096


def test_who_asks_within_a_second_costs_nothing(journal: Journal, clock: Any, cases: ModuleType) -> None:
    journal.check_writable()
    before = pages(journal)
    clock.time = cases.at(0.9)
    for _ in range(100):
        journal.check_writable()
    assert pages(journal) == before


def test_a_disk_without_room_for_an_alert_is_not_ready_and_is_asked_again(
    journal: Journal, clock: Any, cases: ModuleType
) -> None:
    limit(journal, 1)
    with pytest.raises(JournalError, match="its disk is full"):
        journal.check_writable()
    limit(journal, 100_000)
    with pytest.raises(JournalError, match="its disk is full"):
        journal.check_writable()  # the same second, the same answer
    clock.time = cases.at(1)
    journal.check_writable()


def test_after_alerts_were_refused_it_asks_for_room_for_as_many_until_there_is_some() -> None:
    probe, sizes = Probe(1.0), list[int]()
    full = True

    def write(size: int) -> None:
        sizes.append(size)
        if full and size > 8192:
            raise JournalError("full")

    def ready(seconds: float) -> bool:
        try:
            probe.ask(Instant(seconds, seconds, "boot"), write)
        except JournalError:
            return False
        return True

    assert ready(1)
    probe.refused(alerts=1)
    assert not ready(2)
    probe.refused(alerts=100)
    assert not ready(3)
    full = False
    assert ready(4)
    assert ready(5)
    assert sizes == [8192, 131_072, 819_200, 819_200, 8192]


def limit(journal: Journal, pages: int) -> None:
    journal._writer.submit(lambda connection: connection.execute(text(f"PRAGMA max_page_count={pages}")).scalar())
