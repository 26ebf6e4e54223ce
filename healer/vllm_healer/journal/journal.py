"""The journal of the one healer that acts: every method that writes returns when the disk has it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import Connection

from vllm_healer.errors import JournalError
from vllm_healer.journal import (
    actions,
    alerts,
    approvals,
    entries,
    findings,
    incidents,
    ledger,
    maintenance,
    memory,
    mounts,
    prune,
    store,
)
from vllm_healer.journal.admission import Admission
from vllm_healer.journal.cached import CachedReader
from vllm_healer.journal.ledger import Check
from vllm_healer.journal.lock import FileLock
from vllm_healer.journal.prepare import prepare
from vllm_healer.journal.probe import Probe
from vllm_healer.journal.reader import JournalReader
from vllm_healer.journal.values import Recorded
from vllm_healer.journal.writer import Writer
from vllm_healer.ledger import Consent
from vllm_healer.model import (
    Alert,
    Incident,
    IncidentState,
    Instant,
    Permit,
    Plan,
    ProcessRef,
    Refusal,
    Result,
    Verdict,
)
from vllm_healer.ports import Clock
from vllm_healer.printable import one_line
from vllm_healer.retention import Retention

# Shorter than Alertmanager's own patience (its group_interval, 15 s here), so that it hears 503 instead of nothing.
ACKNOWLEDGE_SECONDS = 10.0
PROBE_SECONDS = 1.0  # between two writes that only show that it can be written, however many ask


class Journal(CachedReader):
    """Raises JournalError when something was not written; then nothing of that call is in the file."""

    def __init__(self, path: Path, lock: FileLock, clock: Clock, admission: Admission) -> None:
        """Callers use `Journal.open`."""
        self._path = path
        self._lock = lock
        self._clock = clock
        self._admission = admission
        self._probe = Probe(PROBE_SECONDS)
        self._engine = prepare(path, lock, admission)
        self._writer = Writer(self._engine, path)
        super().__init__(path, store.reader_engine(path), lambda: self._writer.commits)

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Clock,
        holder: str = "",
        mountinfo: Path = mounts.MOUNTINFO,
        admission: Admission | None = None,
    ) -> Self:
        """Makes the file if there is none. Raises JournalLocked while another healer has it, naming that one.

        `admission` bounds what is held of servers; without it nothing is left out.
        """
        mounts.require_local(path, mountinfo)
        store.create_directory(path)
        store.require_trusted(path)
        lock = FileLock(path.with_name(f"{path.name}.lock"), holder or _this_process())
        try:
            return cls(path, lock, clock, admission or Admission())
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def read_only(path: Path) -> JournalReader:
        """A reader for history and explain, also while a healer has the journal open."""
        return JournalReader.open_read_only(path)

    def close(self) -> None:
        """Writes what is waiting, then lets the next healer in. May be called twice."""
        self._writer.close()
        super().close()
        self._engine.dispose()
        self._lock.release()

    def on_error(self, tell: Callable[[], None]) -> None:
        """Has `tell` called, in the caller's thread, for each write that failed."""
        self._writer.on_error = tell

    def prune(self, now: Instant, retention: Retention) -> int:
        """Removes a few rows that are older than that and needed by nobody, and returns how many; 0: there are none."""
        old = self._read(lambda connection: prune.choose(connection, now, retention))
        return self._writer.submit(lambda connection: prune.remove(connection, old)) if old else 0

    def give_back(self) -> bool:
        """Gives some of the space that was freed back to the disk. True if there is more."""
        return self._writer.submit(store.give_back)

    def size(self) -> int:
        """Bytes of the file and its write-ahead log."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def free(self) -> int:
        """Bytes that its disk has left for this user."""
        return shutil.disk_usage(self._path.parent).free

    def check_writable(self) -> None:
        """Raises JournalError when nothing can be written now. Who asks within a second gets the same answer."""
        now = self._clock.now()
        self._probe.ask(
            now, lambda size: self._writer.submit(lambda it: ledger.probe(it, size, now), ACKNOWLEDGE_SECONDS)
        )

    def record_alerts(self, heard: Sequence[Alert], now: Instant) -> Recorded:
        """Records alerts, on the disk when it returns. Heard again means counted again, not stored again."""
        try:
            recorded = self._writer.submit_together(self._record, (heard, now), ACKNOWLEDGE_SECONDS)
        except JournalError:
            self._probe.refused(len(heard))
            raise
        if recorded.stored:
            self._probe.taken()
        return recorded

    def open_incident(self, server: str, members: Iterable[Alert], now: Instant, words: str) -> Incident:
        """Opens an incident with these alerts; if the server has an open one, they join that."""
        joining = tuple(members)
        return self._writer.submit(
            lambda connection: incidents.open_incident(connection, server, joining, now, words, self._admission)
        )

    def attach(self, incident_id: int, members: Iterable[Alert]) -> None:
        """Adds alerts to an incident, taken from another one if they were there."""
        joining, now = tuple(members), self._clock.now()
        self._writer.submit(lambda connection: incidents.attach(connection, incident_id, joining, now, self._admission))

    def set_state(
        self, incident_id: int, state: IncidentState, words: str, now: Instant, expected: IncidentState | None = None
    ) -> bool:
        """Moves an incident on, with the reason in words; False if it is not in the `expected` state any more."""

        def write(connection: Connection) -> bool:
            moved = incidents.set_state(connection, incident_id, state, words, now, expected)
            if moved:
                findings.follow(connection, incident_id, state, now)
            return moved

        return self._writer.submit(write)

    def note_finding(self, incident_id: int, cause: str, remediation: str, replace: bool) -> None:
        """Remembers what was found of an incident, and what answers it; without `replace` only what is found first."""
        self._writer.submit(lambda connection: findings.note(connection, incident_id, cause, remediation, replace))

    def note_open(self, incident_id: int, kind: str, words: str, now: Instant) -> bool:
        """Adds one sentence about an incident, unless it has ended meanwhile; then False."""
        return self._writer.submit(lambda connection: incidents.note(connection, incident_id, kind, words, now))

    def note(
        self, incident_id: int | None, kind: str, words: str, now: Instant, data: Mapping[str, object] | None = None
    ) -> None:
        """Adds one sentence to the history; `data` is JSON and may hold what the sentence has no room for."""
        self._writer.submit(lambda connection: entries.append(connection, incident_id, kind, words, now, data))

    def reserve(self, plan: Plan, now: Instant, check: Check) -> Permit | Refusal:
        """Asks `check` with the ledger and writes the intent, both in one transaction.

        `check` runs in the journal's own thread and must not call the journal. A refusal is written once, and again
        when it changes or after five minutes.
        """
        return self._writer.submit(lambda connection: actions.reserve(connection, plan, now, check))

    def step(self, action: int, name: str, now: Instant) -> None:
        """Notes a step of an action before it is taken."""
        self._writer.submit(lambda connection: actions.step(connection, action, name, now))

    def finish(self, action: int, result: Result, now: Instant) -> None:
        """Writes what came of an action. The pool stays reserved until `conclude`."""
        self._writer.submit(lambda connection: actions.finish(connection, action, result, now))

    def conclude(self, action: int, verdict: Verdict, seconds: float, now: Instant) -> bool:
        """Ends verification and frees the pool; `seconds` count from the intent. False if it had a verdict already."""
        return self._writer.submit(lambda connection: actions.conclude(connection, action, verdict, seconds, now))

    def settle(self, server: str, words: str, now: Instant) -> None:
        """Lets the server's failed actions hold its pool back no longer, and needs nobody for it; `words` say why."""
        self._writer.submit(lambda connection: _settle(connection, server, words, now))

    def remember(
        self,
        server: str,
        incarnation: str,
        ready: bool,
        tree: tuple[ProcessRef, ...],
        now: Instant,
        alive: frozenset[str] = frozenset(),
    ) -> None:
        """Remembers what a look at a server showed: that it was ready once, for ever, and its last five trees.

        `alive` are the incarnations of which something lives: their trees are kept however old they are.
        """
        self._writer.submit(
            lambda connection: memory.remember(connection, server, incarnation, ready, tree, now, alive)
        )

    def answer(self, request: int, given: Consent, words: str, now: Instant) -> None:
        """Writes a person's answer to a request for approval; `words` say who and why. Raises NotWaiting."""
        self._writer.submit(lambda connection: approvals.answer(connection, request, given, one_line(words), now))

    def maintain(self, about: str, seconds: float, words: str, now: Instant) -> None:
        """Begins maintenance of "all", "server NAME" or "pool NAME"; for 0 seconds it ends it."""
        self._writer.submit(lambda connection: maintenance.maintain(connection, about, seconds, words, now))

    def pause(self, words: str, now: Instant) -> None:
        """Stops actions until `resume`, also over restarts of the healer; `words` say who and why."""
        self._writer.submit(lambda connection: ledger.pause(connection, words, now))

    def resume(self, words: str, now: Instant) -> None:
        """Ends the pause, and lets what did not help so far be tried again: a person says so."""

        def write(connection: Connection) -> None:
            ledger.resume(connection, words, now)
            _settle(connection, None, f"resumed by {words}", now)

        self._writer.submit(write)

    def _record(self, connection: Connection, given: Sequence[tuple[Sequence[Alert], Instant]]) -> list[Recorded]:
        """Records notifications that waited together; they waited for moments, so one time is true of all."""
        notifications = [heard for heard, _ in given]
        return alerts.record(connection, notifications, given[-1][1], self._admission)


def _settle(connection: Connection, server: str | None, words: str, now: Instant) -> None:
    actions.settle(connection, server, words, now)
    findings.settle(connection, server, words, now)


def _this_process() -> str:
    return f"vllm-healer pid {os.getpid()} on {socket.gethostname()}"
