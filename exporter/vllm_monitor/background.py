"""The thread of this process that counts what others left in rings, and writes the snapshot file.

It shares the interpreter's lock with the serving process, so it works in slices of SLICE seconds and rests in between.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vllm_monitor import place
from vllm_monitor.lines import Lines
from vllm_monitor.series import Series
from vllm_monitor.snapshot import ProcessIdentity, SnapshotFile

INTERVAL = 0.25  # seconds between two rounds
SLICE = 0.0003  # seconds of work in one go: a thread that waits for the interpreter's lock waits so long at most
REST = 0.0005
LAST = 2.0  # seconds that the end of the process waits for the thread
LOGGER = logging.getLogger("vllm_monitor")

# Counts some of what it was left at each step, so that the thread can rest in between.
Source = Callable[[float], Iterator[None]]


class Background:
    """The series of this process and the thread that fills them. `start` it once; it ends with the process."""

    def __init__(self, folder: Path, port: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Makes the snapshot file; the one of lines comes with the first line. Raises OSError."""
        identity = ProcessIdentity.own()
        place.remove_left_over(folder, identity)
        self.folder = folder
        self.port = port
        self.series = Series()
        self.identity = identity
        self._file = SnapshotFile(folder / place.file_name(identity), identity, port)
        self.lines = Lines(folder, self._file.path.stem, port)
        self._monotonic = monotonic
        self._sources: list[Source] = []
        self._written = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, source: Source) -> None:
        """Asks for a source in each round: it is called with the time, CLOCK_MONOTONIC in seconds, and counts."""
        self._sources.append(source)

    def start(self) -> None:
        """Starts the thread, or another one in place of one that has ended."""
        if self._thread is None:
            atexit.register(self.last_round)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="vllm-monitor", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread after a last round; for programs that end it themselves."""
        atexit.unregister(self.last_round)
        self.last_round()
        self._file.close()
        self.lines.close()

    def round(self) -> None:
        """Lets each source count what is there, and writes. A source that fails takes nothing from the others."""
        now = self._monotonic()
        for source in list(self._sources):
            try:
                self._drain(source, now)
            except Exception:
                self._sources.remove(source)
                LOGGER.exception(
                    "vllm_monitor: a source of counts failed and is not asked again; the server is not affected"
                )
        self.series.set(self.series.place("counter", "vllm_inside_lines_lost_total"), float(self.lines.lost))
        self._write(now)

    def last_round(self) -> None:
        """Counts what a server that ends left: the failures by which it ends are among it."""
        if os.getpid() != self.identity.pid:  # a fork that ends, which shares the file of its parent
            return
        self._ended.set()
        if self._thread is not None:
            self._thread.join(LAST)
        self.round()
        self.round()  # what the one before left to the next

    def _drain(self, source: Source, now: float) -> None:
        until = time.perf_counter() + SLICE
        for _ in source(now):
            if time.perf_counter() >= until:
                time.sleep(REST)
                until = time.perf_counter() + SLICE

    def _write(self, now: float) -> None:
        if self.series.changed:
            self._file.describe(self.series.directory(role=place.own_role()))
        self._file.write(self.series.values, now)

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            self.round()
