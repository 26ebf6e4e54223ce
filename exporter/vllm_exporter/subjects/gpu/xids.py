"""Counts XID errors, each once although the driver and the kernel's log both report it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.linux.kernel_log import KernelLog, parse_xid
from vllm_exporter.log import log

HOLD_SECONDS = 30.0  # opening the driver's library takes seconds a GPU where no other process keeps them ready
HELD_MAX = 100  # XIDs


@dataclass(frozen=True)
class XidCount:
    """One XID of one GPU: how often since the start, and the Unix time of the last."""

    gpu_id: str
    code: int
    count: int
    last_seen: float


class XidLedger:
    """Counts XIDs by GPU and code since the start, from one or more reporters.

    Each reporter may miss some and none invents any: the count is the highest of them, and an XID that two report
    counts once. Events missed while the library was closed are in the kernel's log only.
    """

    def __init__(self, clock: Clock, tell: Callable[[str, int], None]) -> None:
        """`tell(gpu id, code)` is called once per XID."""
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._by_reporter: dict[tuple[str, int], dict[str, int]] = {}
        self._counts: dict[tuple[str, int], XidCount] = {}

    def saw(self, reporter: str, gpu_id: str, code: int, ago: float = 0.0) -> None:
        """Counts an XID of `ago` seconds ago. Called from any thread."""
        key = gpu_id, code
        with self._lock:
            seen = self._by_reporter.setdefault(key, {})
            seen[reporter] = seen.get(reporter, 0) + 1
            before = self._counts.get(key) or XidCount(gpu_id, code, 0, 0.0)
            new = seen[reporter] > before.count
            if new:
                self._counts[key] = replace(before, count=seen[reporter], last_seen=self._clock.wall() - ago)
        if new:
            self._tell(gpu_id, code)

    def counts(self) -> Mapping[tuple[str, int], XidCount]:
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True)
class _Held:
    """An XID of a GPU whose id is not known yet."""

    address: str
    code: int
    at: float  # monotonic seconds


class KernelXids:
    """The second reporter: it also sees XIDs while the driver's library is closed or hangs.

    The kernel writes PCI addresses. XIDs are held until the GPUs at these are known: a GPU has one series of each.
    """

    def __init__(self, clock: Clock, ledger: XidLedger, open_log: Callable[[], KernelLog] = KernelLog) -> None:
        self._clock = clock
        self._ledger = ledger
        self._held: deque[_Held] = deque()
        try:
            self._log: KernelLog | None = open_log()
        except NoData as nothing:
            self._log = None
            log("info", "XIDs are taken from the driver only", reason=nothing)

    def read(self, gpu_ids: Mapping[str, str] | None) -> None:
        """Reads the lines since the last call; `gpu_ids` by PCI address, None: not known yet. Never waits."""
        if self._log is None:
            return
        try:
            lines = self._log.read()
        except SourceError as error:
            log("warning", "XIDs are taken from the driver only", reason=error)
            self.close()
            self._let_go(gpu_ids or {})
            return
        for line in lines:
            found = parse_xid(line.text)
            if found is not None:
                self._held.append(_Held(*found, self._clock.monotonic()))
        if self._held:
            self._let_go(gpu_ids)

    def _let_go(self, gpu_ids: Mapping[str, str] | None) -> None:
        """Counts the XIDs that are held, without a GPU where it does not become known in time."""
        now = self._clock.monotonic()
        while self._held:
            first = self._held[0]
            if gpu_ids is None and now - first.at < HOLD_SECONDS and len(self._held) <= HELD_MAX:
                return
            self._held.popleft()
            self._ledger.saw("kernel", (gpu_ids or {}).get(first.address, ""), first.code, now - first.at)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
