"""The healer's journal, read straight from its SQLite file: fast enough to catch an intent before its result."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness.waiting import TimedOutError


@dataclass(frozen=True)
class Action:
    """One row of `actions`. Times are seconds since the epoch."""

    id: int
    remediation: str
    destructive: bool
    at: float  # of the intent
    started: float | None  # of its first step: the actuator was called
    steps: tuple[str, ...]
    outcome: str  # '' while there is no result
    verification: str  # '' until it ended


@dataclass(frozen=True)
class Sentence:
    """One row of `entries`."""

    at: float
    kind: str
    words: str


class JournalFile:
    """Answers empty while the file is not there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def actions(self, since: float) -> list[Action]:
        with self._connection() as journal:
            rows = journal.execute(
                "SELECT id, remediation, destructive, at_wall, result, verification FROM actions "
                "WHERE at_wall >= ? ORDER BY id", (since,)
            ).fetchall()  # fmt: skip
            return [_action(journal, row) for row in rows]

    def sentences(self, since: float) -> list[Sentence]:
        with self._connection() as journal:
            rows = journal.execute(
                "SELECT at_wall, kind, words FROM entries WHERE at_wall >= ? ORDER BY id", (since,)
            ).fetchall()
        return [Sentence(*row) for row in rows]

    def healed(self, since: float) -> float | None:
        """When an incident was closed as healed since then."""
        with self._connection() as journal:
            row = journal.execute(
                "SELECT min(closed_wall) FROM incidents WHERE state = 'healed' AND closed_wall >= ?", (since,)
            ).fetchone()
        return None if row is None else row[0]

    def open_incidents(self) -> int:
        with self._connection() as journal:
            row = journal.execute(
                "SELECT count(*) FROM incidents WHERE state IN ('open', 'acting', 'verifying')"
            ).fetchone()
        return int(row[0])

    def remembers(self, pid: int) -> bool:
        """Whether the process tree in which `pid` lives is recorded, and its server was seen ready."""
        with self._connection() as journal:
            known = journal.execute(
                "SELECT processes FROM trees JOIN targets USING (server, incarnation) WHERE seen_ready"
            ).fetchall()
        return any(process["pid"] == pid for (processes,) in known for process in json.loads(processes))

    def wait_for_open_action(self, since: float, seconds: float) -> int:
        """The number of a destructive action without a result. Asks every 2 ms: the window may be short."""
        deadline = time.monotonic() + seconds
        query = "SELECT id FROM actions WHERE at_wall >= ? AND destructive AND result IS NULL"
        with self._connection() as journal:
            while time.monotonic() < deadline:
                row = journal.execute(query, (since,)).fetchone()
                if row:
                    return int(row[0])
                time.sleep(0.002)
        raise TimedOutError(f"no intent without a result in {self.path} within {seconds:.0f} s")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Autocommit: each query sees what was committed last."""
        if not self.path.exists():
            with closing(sqlite3.connect(":memory:")) as nothing:
                nothing.executescript(_EMPTY)
                yield nothing
            return
        uri = f"file:{self.path}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)) as journal:
            yield journal


_EMPTY = """
CREATE TABLE actions (id, remediation, destructive, at_wall, result, verification);
CREATE TABLE steps (id, action, name, at_wall);
CREATE TABLE entries (id, incident, at_wall, kind, words);
CREATE TABLE incidents (id, state, closed_wall);
CREATE TABLE targets (server, incarnation, seen_ready);
CREATE TABLE trees (server, incarnation, processes);
"""


def _action(journal: sqlite3.Connection, row: tuple[int, str, int, float, str | None, str | None]) -> Action:
    number, remediation, destructive, at, result, verification = row
    steps = journal.execute("SELECT name, at_wall FROM steps WHERE action = ? ORDER BY id", (number,)).fetchall()
    return Action(
        number, remediation, bool(destructive), at,
        started=steps[0][1] if steps else None,
        steps=tuple(name for name, _ in steps),
        outcome=str(json.loads(result)["outcome"]) if result else "",
        verification=verification or "",
    )  # fmt: skip
