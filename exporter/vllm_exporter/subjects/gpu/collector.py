"""GPUs: use, memory, temperature, power, clocks, throttling, links, errors and their processes, by NVML or amdsmi."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_exporter.config.config import Config
from vllm_exporter.config.named_paths import NamedPath
from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import XidReported
from vllm_exporter.facts.facts import GpuLinks, Gpus, Trees
from vllm_exporter.facts.xids import SEVERITIES, XidClass, classify
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Row
from vllm_exporter.run.collector import Collector, Context, read_options
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.choice import open_source
from vllm_exporter.subjects.gpu.series import ReadingHealth, health_rows, join, make_sights
from vllm_exporter.subjects.gpu.source import GpuSnapshot, GpuSource
from vllm_exporter.subjects.gpu.worker import Worker
from vllm_exporter.subjects.gpu.xids import KernelXids, XidLedger

GRACE = 0.05  # seconds a run waits for its reading; one that takes longer is shown by the next run
FIRST_GRACE = 2.0  # opening the driver's library takes that long where no other process keeps the GPUs ready
DEADLINE = 3.0  # seconds after which a call to the driver counts as hung
SEARCH_SECONDS = 60.0  # between two looks for a library where there was none
POST_SECONDS = 5.0  # between two facts for other collectors
RELEASE_FILE = "gpu.release"  # in the state directory: while it exists, nothing of the driver is held


@dataclass(frozen=True)
class GpuOptions:
    """The options of the collector."""

    gpm: bool = True  # off: no SM, tensor and DRAM activity, for a profiler that conflicts with it
    library: str = "libnvidia-ml.so.1"  # a name that the loader finds, or a path


class GpuCollector(Collector):
    """Reads in a thread of its own and waits only a little: while a driver hangs, the last readings stay."""

    interval = 2.0  # with a scrape every 5 s it is read just before each
    for_scrapes = True
    turn = 1  # the processes come first
    options = GpuOptions
    metrics = (*names.STATIC, *names.FAST, *names.SHARED, *names.SLOW, *names.PROCESSES, *names.HEALTH)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._options: GpuOptions = context.options("gpu", GpuOptions)
        self._worker = Worker("gpu", context.clock)
        state = context.config.state_dir
        self._release_file = os.path.join(state, RELEASE_FILE) if state else ""
        self._released = False
        self._ledger = XidLedger(context.clock, self.saw_xid)
        self._kernel: KernelXids | None = None
        self._addresses: dict[str, str] | None = None  # PCI address to GPU id; None: not known yet
        self._source: GpuSource | None = None
        self._search_at = 0.0  # the next look for a library
        self._nothing = ""  # why there was none
        self._grace = FIRST_GRACE
        self._shown: GpuSnapshot | None = None
        self._joined: list[Row] = []
        self._posted_at: float | None = None
        self._misses = False  # True while no GPU answers

    @classmethod
    def paths(cls, config: Config, name: str) -> Iterator[NamedPath]:
        """Yields a library given as a path: a plain name is for the loader, and a host without GPUs has none."""
        library = read_options(config, name, GpuOptions).library
        if "/" in library:
            fix = "install the driver, or correct the path"
            yield NamedPath("collectors.gpu.library", library, fix, absent="comes_later")

    def collect(self) -> Iterator[Row]:
        source = self._find_source()
        self._heed_release_file(source)
        done = self._worker.run(source.read, self._grace)
        hung, snapshot = self._worker.busy_seconds() > DEADLINE, source.snapshot
        if snapshot is not None:
            yield from self._show(snapshot)
        if self._kernel is not None:
            self._kernel.read(self._addresses)
        if snapshot is None and done:
            self._tell_missing(source)
        if (
            snapshot is None and done and source.closed_because and not source.missing
        ):  # not while it is being opened or closed
            self._shown = None
            raise NoData(source.closed_because)
        self._grace = GRACE
        yield from health_rows(self._make_health(source, snapshot, hung))

    def close(self) -> None:
        """Closes without waiting: a call that still waits for the driver ends with the process."""
        if self._source is not None and self._worker.stop(GRACE):
            self._source.close()
        if self._kernel is not None:
            self._kernel.close()

    def _show(self, snapshot: GpuSnapshot) -> Iterator[Row]:
        if snapshot.links is not None and (self._shown is None or snapshot.links is not self._shown.links):
            self.context.board.post(GpuLinks(snapshot.links))
        if self._shown is None or snapshot.slow_at != self._shown.slow_at:
            self._addresses = {card.pci_address: card.gpu_id for card in reversed(snapshot.cards)}
            self._joined = list(join(snapshot.processes, self.context.board.latest(Trees)))
        if self._shown is None or snapshot.at != self._shown.at:
            self._post(snapshot)
        self._shown = snapshot
        yield from (*snapshot.fast, *snapshot.slow, *self._joined)

    def _post(self, snapshot: GpuSnapshot) -> None:
        """Posts new readings only: a fact that is not renewed shows that the driver hangs."""
        now = self.context.clock.monotonic()
        if self._posted_at is None or now - self._posted_at >= POST_SECONDS:
            self._posted_at = now
            self.context.board.post(Gpus(tuple(make_sights(snapshot))))

    def _tell_missing(self, source: GpuSource) -> None:
        """Says that no GPU answers, to the log once, and to others."""
        if bool(source.missing) != self._misses:
            self._misses = bool(source.missing)
            if self._misses:
                log("error", "no GPU answers", gpus=len(source.missing), reason=source.closed_because)
        if source.missing:
            self._post(GpuSnapshot(cards=source.missing))

    def _make_health(self, source: GpuSource, snapshot: GpuSnapshot | None, hung: bool) -> ReadingHealth:
        failures, xids = source.failures.counts.copy(), self._ledger.counts()  # others write to them
        kernel = self._kernel.others if self._kernel is not None else {}
        if snapshot is None:
            return ReadingHealth(hung, None, 0.0, 0.0, source.missing, failures, xids, kernel)
        age = self.context.clock.monotonic() - snapshot.at
        fast, slow = snapshot.fast_seconds, snapshot.slow_seconds
        return ReadingHealth(hung, age, fast, slow, snapshot.cards, failures, xids, kernel)

    def _find_source(self) -> GpuSource:
        """Returns the source. Raises NoData while there is no driver's library."""
        if self._source is None:
            now = self.context.clock.monotonic()
            if self._nothing and now < self._search_at:
                raise NoData(self._nothing)
            try:
                self._source = open_source(
                    self.context.clock, self._ledger, self._options.library, self._options.gpm, self.context.proc
                )
                self._kernel = KernelXids(self.context.clock, self._ledger)
            except NoData as nothing:
                self._nothing, self._search_at = str(nothing), now + SEARCH_SECONDS
                raise
        return self._source

    def _heed_release_file(self, source: GpuSource) -> None:
        """Releases the driver while the file exists (2 µs to check): a reset needs a GPU that no process holds."""
        if not self._release_file:
            return
        asked = os.path.exists(self._release_file)
        if asked == self._released:
            return
        self._released = asked
        log("info", "GPU driver is released" if asked else "GPU driver is used again", file=self._release_file)
        if asked:
            source.release()
        else:
            source.reopen()
            self._grace = FIRST_GRACE

    def saw_xid(self, gpu_id: str, code: int, kind: XidClass) -> None:
        """Emits an event for each XID. Called from the thread that waits for them too."""
        words = classify(code)[1]
        summary = f"GPU {gpu_id or '(unknown)'}: XID {code}, {words}"
        self.context.bus.emit(
            XidReported(severity=SEVERITIES[kind], summary=summary, gpu_id=gpu_id, xid=code, xid_class=kind)
        )
