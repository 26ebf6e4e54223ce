"""Brings the throttle's orders from their file to the event loop, and says in the snapshot what became of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vllm_monitor.limits import MOST_SECONDS, BadThrottle, Order
from vllm_monitor.order_file import NAME, read_order
from vllm_monitor.peers import Peers
from vllm_monitor.series import Series
from vllm_monitor.throttle import Task, Throttle

LOGGER = logging.getLogger("vllm_monitor")


class Orders:
    """Reads the file when it has changed. What cannot be read or trusted throttles nobody."""

    def __init__(
        self, folder: Path, port: int, peers: Peers, throttle: Throttle, wall: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._port = port
        self._peers = peers
        self._throttle = throttle
        self._wall = wall
        self._seen: tuple[int, ...] = ()  # identifies what is in the file
        self._order: Order | None = None
        self._until = 0.0
        self._problem = ""

    def __call__(self, now: float) -> Iterator[None]:
        """A source of the background thread."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            self._read(now)
        self._throttle.task = self._task(now)
        yield

    def counts_in(self, series: Series, now: float) -> Iterator[None]:
        """Writes what is in force, and what was refused."""
        throttle = self._throttle
        generation = self._order.generation if self._order is not None else 0
        series.set(series.place("max", "vllm_throttle_generation"), float(generation))
        series.set(series.place("sum", "vllm_throttle_processes"), float(throttle.in_force(now) is not None))
        series.set(series.place("max", "vllm_throttle_file_unusable"), float(bool(self._problem)))
        for reason, count in throttle.refused.items():
            series.set(series.place("counter", "vllm_throttle_refusals_total", reason=reason), float(count))
        yield

    def _look(self) -> tuple[int, ...]:
        try:
            about, folder = (self._folder / NAME).lstat(), self._folder.stat()
        except OSError:
            return ()
        return about.st_ino, about.st_mtime_ns, about.st_size, about.st_uid, about.st_mode, folder.st_mode

    def _read(self, now: float) -> None:
        """The time is taken once: whatever happens to the clock of the day later, it ends when it should."""
        before, self._order, self._problem = self._order, None, ""
        try:
            self._order = read_order(self._folder)
        except (BadThrottle, OSError) as error:
            self._problem = str(error)
            LOGGER.error("vllm_monitor: %s/%s throttles nobody: %s", self._folder, NAME, self._problem)
        if self._order is not None:
            self._until = now + min(MOST_SECONDS, self._order.expires - self._wall())
        if before is not None or self._order is not None:
            LOGGER.warning("vllm_monitor: throttle: %s", words(self._order, self._until - now))

    def _task(self, now: float) -> Task | None:
        order = self._order
        if order is None or now >= self._until:
            return None
        limits = tuple(limit for limit in order.limits if limit.port in (0, self._port))
        if not limits:
            return None
        try:
            place, of = self._peers.place()
        except OSError:
            place, of = 0, 1
        task, old = Task(limits, self._until, order.status, order.generation, place, of), self._throttle.task
        return old if task == old else task


def words(order: Order | None, seconds: float) -> str:
    """Returns an order for the log."""
    if order is None or not order.limits or seconds <= 0:
        return "off"
    return f"{len(order.limits)} limits for {seconds:.0f} s, generation {order.generation}"
