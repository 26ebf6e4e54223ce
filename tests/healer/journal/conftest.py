"""A journal in a temporary directory, with a clock that stands until it is told to move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer.journal import Journal
from vllm_healer.model import Instant, Plan


class FakeClock:
    def __init__(self, now: Instant) -> None:
        self.time = now

    def now(self) -> Instant:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the journal does not sleep")


@pytest.fixture
def clock(cases: ModuleType) -> FakeClock:
    return FakeClock(cases.NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path, clock: FakeClock) -> Iterator[Journal]:
    journal = Journal.open(path, clock)
    yield journal
    journal.close()


@pytest.fixture
def plan(journal: Journal, cases: ModuleType) -> Plan:
    """The restart of the hung server, for an incident that is open."""
    incident = journal.open_incident(cases.SERVER, [], cases.NOW, "stalled")
    found: Plan = cases.plan(incident=incident.id)
    return found
