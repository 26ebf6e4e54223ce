"""Counts XID errors, each once although the driver and the kernel's log both report it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.facts.events import Severity
from vllm_exporter.facts.xids import NVLINK5, XidClass, classify
from vllm_exporter.linux.kernel_forms import KernelEvent, KernelKind, parse_kernel_line
from vllm_exporter.linux.kernel_log import KernelLog
from vllm_exporter.log import log

HOLD_SECONDS = 30.0  # opening the driver's library takes seconds a GPU where no other process keeps them ready
HELD_MAX = 100  # XIDs
ABOUT_GPUS: dict[KernelKind, Severity] = {  # lines that are no XIDs, as bad as most are
    **dict.fromkeys(("lost", "sxid", "init", "reset", "ras"), "critical"),
    **dict.fromkeys(("hang", "fault"), "error"),
}
LINE_SECONDS = 10.0  # after the driver's event; the kernel's line of the same XID is read every few seconds


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

    def __init__(self, clock: Clock, tell: Callable[[str, int, XidClass], None]) -> None:
        """`tell(gpu id, code, class)` is called once per XID."""
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._by_reporter: dict[tuple[str, int], dict[str, int]] = {}
        self._counts: dict[tuple[str, int], XidCount] = {}
        self._untold: dict[tuple[str, int], float] = {}  # monotonic seconds
        self.has_lines = False  # True while the kernel's log is read too: its lines say how bad an NVLink error is

    def saw(self, reporter: str, gpu_id: str, code: int, ago: float = 0.0, kind: XidClass | None = None) -> None:
        """Counts an XID of `ago` seconds ago; `kind` is what its line says, if there is one. Called from any thread."""
        key = gpu_id, code
        with self._lock:
            seen = self._by_reporter.setdefault(key, {})
            seen[reporter] = seen.get(reporter, 0) + 1
            before = self._counts.get(key) or XidCount(gpu_id, code, 0, 0.0)
            new = seen[reporter] > before.count
            if new:
                self._counts[key] = replace(before, count=seen[reporter], last_seen=self._clock.wall() - ago)
            if new and kind is None and code in NVLINK5 and self.has_lines:
                self._untold[key] = self._clock.monotonic()
                return
            due = self._untold.pop(key, None) is not None if kind else False
        if new or due:
            self._tell(gpu_id, code, kind or classify(code)[0])

    def tell_overdue(self) -> None:
        """Tells the XIDs whose line did not come in time, as bad as their code can be."""
        now = self._clock.monotonic()
        with self._lock:
            overdue = [key for key, at in self._untold.items() if now - at > LINE_SECONDS or not self.has_lines]
            for key in overdue:
                del self._untold[key]
        for gpu_id, code in overdue:
            self._tell(gpu_id, code, classify(code)[0])

    def counts(self) -> Mapping[tuple[str, int], XidCount]:
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True)
class _Held:
    """An XID of a GPU whose id is not known yet."""

    address: str
    code: int
    kind: XidClass
    at: float  # monotonic seconds


class KernelXids:
    """The second reporter: it also sees XIDs while the driver's library is closed or hangs.

    The kernel writes PCI addresses. XIDs are held until the GPUs at these are known: a GPU has one series of each.
    """

    def __init__(self, clock: Clock, ledger: XidLedger, open_log: Callable[[], KernelLog] = KernelLog) -> None:
        self._clock = clock
        self._ledger = ledger
        self._held: deque[_Held] = deque()
        self.others: dict[tuple[str, str], int] = {}  # lines about GPUs that are no XIDs, by kind and severity
        try:
            self._log: KernelLog | None = open_log()
            self.others.update(dict.fromkeys(ABOUT_GPUS.items(), 0))  # increase() misses the first of a new series
            ledger.has_lines = True
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
            event = parse_kernel_line(line.text)
            if event is not None:
                self._note(event)
        if self._held:
            self._let_go(gpu_ids)
        self._ledger.tell_overdue()

    def _note(self, event: KernelEvent) -> None:
        if event.kind in ("xid", "lost") and event.code is not None:
            self._held.append(_Held(event.address, event.code, event.xid_class, self._clock.monotonic()))
        elif event.kind in ABOUT_GPUS:
            key = event.kind, event.severity
            self.others[key] = self.others.get(key, 0) + 1

    def _let_go(self, gpu_ids: Mapping[str, str] | None) -> None:
        """Counts the XIDs that are held, without a GPU where it does not become known in time."""
        now = self._clock.monotonic()
        while self._held:
            first = self._held[0]
            if gpu_ids is None and now - first.at < HOLD_SECONDS and len(self._held) <= HELD_MAX:
                return
            self._held.popleft()
            gpu_id = (gpu_ids or {}).get(first.address, "")
            self._ledger.saw("kernel", gpu_id, first.code, now - first.at, first.kind)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
            self._ledger.has_lines = False
            self._ledger.tell_overdue()
