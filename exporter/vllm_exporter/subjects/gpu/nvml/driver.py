"""Reads NVIDIA's GPUs through NVML: opens the library, reads, and closes it when needed. No DCGM."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData
from vllm_exporter.linux.meminfo import read_host_memory
from vllm_exporter.subjects.gpu.nvml.events import WAIT
from vllm_exporter.subjects.gpu.nvml.library import Gone, Lost
from vllm_exporter.subjects.gpu.nvml.session import Session, Setup
from vllm_exporter.subjects.gpu.source import CallFailures, Card, GpuSnapshot
from vllm_exporter.subjects.gpu.xids import XidLedger

SLOW_SECONDS = 10.0
REOPEN_SECONDS = 10.0  # after a failure; doubled with each, since opening the library wakes every GPU
REOPEN_SECONDS_MAX = 300.0
CLOSE_SECONDS = 2.0  # that a cycle waits until the library is not in use; longer would look like a call that hangs


class NvmlSource:
    """NVIDIA's GPUs. `read` and `close` are for one thread and may hang; all else is for any thread, and at once."""

    def __init__(
        self,
        clock: Clock,
        ledger: XidLedger,
        path: str,
        gpm: bool = True,
        event_wait: float = WAIT,
        proc: Path = Path("/proc"),
    ) -> None:
        """The ledger is written from another thread."""
        self.failures = CallFailures()
        self.snapshot: GpuSnapshot | None = None
        self.missing: tuple[Card, ...] = ()
        self.closed_because = "the library has not been opened yet"
        self._clock = clock
        self._setup = Setup(clock, self.failures, ledger, {}, path, gpm, event_wait, partial(read_host_memory, proc))
        self._session: Session | None = None
        self._released = False
        self._closing_because = ""  # set while the library is to be closed but is still in use
        self._open_at = 0.0  # not before, in monotonic seconds
        self._pause = REOPEN_SECONDS
        self._known: dict[str, Card] = {}  # whole GPUs ever seen, by uuid
        self._cards_from: tuple[Card, ...] | None = None  # what `_cards_made` was made from
        self._cards_made: tuple[Card, ...] = ()

    def read(self) -> None:
        if self._closing_because:
            self._shut(self._closing_because, CLOSE_SECONDS)
            if self._closing_because:
                return
        if self._released:
            self.missing = ()
            self._shut("released on request: vllm-exporter holds nothing of the driver", CLOSE_SECONDS)
            return
        try:
            self._read()
        except (NoData, Gone, Lost) as reason:
            self.missing = self._find_missing(reason)
            self._shut(str(reason), CLOSE_SECONDS)
            self._open_at = self._clock.monotonic() + self._pause
            self._pause = min(2 * self._pause, REOPEN_SECONDS_MAX)

    def release(self) -> None:
        self._released = True

    def reopen(self) -> None:
        if self._released:
            self._released, self._open_at, self._pause = False, 0.0, REOPEN_SECONDS

    def close(self) -> None:
        """Closes at the end of the process, which ends any thread that still waits."""
        self._shut("closed", 0.0)

    def _read(self) -> None:
        started = self._clock.monotonic()
        if self._session is None:
            if started < self._open_at:
                return
            self._session = Session(self._setup)
        session, before = self._session, self.snapshot
        slow_due = before is None or started - before.slow_at >= SLOW_SECONDS
        if before is not None and slow_due:
            session.renew()
        fast = session.read_fast()
        now = self._clock.monotonic()
        cards = self._cards(session.cards)
        snapshot = replace(before or GpuSnapshot(), cards=cards, fast=fast, at=now, fast_seconds=now - started)
        if slow_due:
            if before is not None:
                self.snapshot = snapshot  # the fast readings need not wait for the rest
            snapshot = self._add_slow(session, snapshot, now)
        self.snapshot, self.closed_because, self.missing = snapshot, "", ()
        if slow_due:
            self.snapshot = replace(snapshot, links=session.read_links(snapshot.slow))
        self._pause = REOPEN_SECONDS

    def _add_slow(self, session: Session, snapshot: GpuSnapshot, started: float) -> GpuSnapshot:
        samples, processes = session.read_slow()
        now = self._clock.monotonic()
        return replace(
            snapshot,
            cards=self._cards(session.cards),
            slow=samples,
            processes=processes,
            slow_at=now,
            slow_seconds=now - started,
        )

    def _cards(self, found: tuple[Card, ...]) -> tuple[Card, ...]:
        """Adds the GPUs that were there and are gone: after a restart the driver leaves a lost one out."""
        if found is self._cards_from:
            return self._cards_made
        uuids = {card.uuid for card in found}
        for card in found:
            if card.uuid and ":" not in card.gpu_id:
                self._known[card.uuid] = card
        silent = {card.gpu_id for card in found if not card.uuid}  # lost, and known by their index only
        gone = [card for uuid, card in self._known.items() if uuid not in uuids and card.gpu_id not in silent]
        self._cards_from = found
        self._cards_made = (*found, *(replace(card, lost=True) for card in gone))
        return self._cards_made

    def _find_missing(self, reason: Exception) -> tuple[Card, ...]:
        """Returns the GPUs that are there and do not answer, when none does: the library is closed then."""
        if isinstance(reason, NoData):
            return ()
        if self._session is None:
            return self.missing  # it could not be opened again
        cards = self._cards(self._session.cards)
        return cards if cards and all(card.lost for card in cards) else ()

    def _shut(self, why: str, wait: float) -> None:
        """Closes the library, or begins to: it must not be closed while the thread for XIDs is in it."""
        self.snapshot, self.closed_because, self._closing_because = None, "", why
        if self._session is None or self._session.close(wait):
            self._session, self.closed_because, self._closing_because = None, why, ""
