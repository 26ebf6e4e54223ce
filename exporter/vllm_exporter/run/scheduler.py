"""Runs collectors when they are due: the quick ones together in one thread, each of the others in its own.

A wake-up takes a tenth of a millisecond of CPU, as much as most collectors: sharing a thread halves the total.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from vllm_exporter.clock import Clock
from vllm_exporter.log import Log
from vllm_exporter.run.runner import Runner

PATIENCE = 0.5  # seconds that the other collectors of the shared thread wait for a slow one
QUICK = 0.1  # seconds; a collector whose run is shorter joins the shared thread
EARLY = 0.25  # seconds by which a run may be early, so that it shares a wake-up with another


class Scheduler:
    """Runs each collector in a thread of its own first. `relieve` keeps one that hangs from delaying others."""

    def __init__(self, runners: Iterable[Runner], clock: Clock, log: Log) -> None:
        self._runners = tuple(runners)
        self._clock = clock
        self._log = log
        self._stop = threading.Event()
        self._changed = threading.Event()  # wakes the shared thread
        self._lock = threading.Lock()  # guards _due and _busy
        self._due: dict[Runner, float] = {}  # of the runners that share a thread
        self._busy: tuple[Runner, float] | None = None  # the one of them that runs, and since when
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for runner in self._runners:
            self._spawn(partial(self._run_alone, runner), f"collector-{runner.name}")
        self._spawn(self._run_together, "collectors")

    def stop(self, seconds: float) -> None:
        """Ends and closes all collectors that do not hang, in at most `seconds`."""
        self._stop.set()
        self._changed.set()
        deadline = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))

    def relieve(self) -> None:
        """Starts another shared thread if one collector blocks it, which keeps its own. Called every few seconds."""
        with self._lock:
            if self._busy is None or self._clock.monotonic() - self._busy[1] < PATIENCE:
                return
            runner, _ = self._busy
            try:
                self._spawn(self._run_together, "collectors")
            except RuntimeError as error:  # a limit of threads; tried again at the next call
                self._log("error", "a slow collector delays the others", collector=runner.name, reason=error)
                return
            self._busy = None
            del self._due[runner]
        self._log("info", "collector is slow and runs in a thread of its own", collector=runner.name)

    def _run_together(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            for runner in self._choose(self._clock.monotonic() + EARLY):
                if not self._run(runner):
                    self._go_on_alone(runner)
                    return
            self._changed.wait(self._seconds_left())
        with self._lock:
            mine = list(self._due)
        for runner in mine:
            runner.close()

    def _run_alone(self, runner: Runner) -> None:
        due = self._clock.monotonic()
        runner.run_once()
        self._go_on_alone(runner, due)

    def _go_on_alone(self, runner: Runner, due: float | None = None) -> None:
        """Runs a slow collector in this thread, until a run is quick and it joins the shared thread."""
        due = self._clock.monotonic() if due is None else due
        while not self._stop.is_set():
            due = runner.next_due(due, self._clock.monotonic())
            if runner.view().duration < QUICK:
                with self._lock:
                    self._due[runner] = due
                self._changed.set()
                return
            self._stop.wait(due - self._clock.monotonic())
            if not self._stop.is_set():
                runner.run_once()
        runner.close()

    def _run(self, runner: Runner) -> bool:
        """Runs a collector once. Returns False if the others were given another thread meanwhile."""
        with self._lock:
            self._busy = (runner, self._clock.monotonic())
        runner.run_once()
        with self._lock:
            if runner not in self._due:
                return False
            self._busy = None
            self._due[runner] = runner.next_due(self._due[runner], self._clock.monotonic())
            return True

    def _choose(self, until: float) -> list[Runner]:
        """Returns the runners that are due, by turn: one reads facts that another has posted."""
        with self._lock:
            return sorted((one for one, due in self._due.items() if due <= until), key=lambda one: one.turn)

    def _seconds_left(self) -> float | None:
        with self._lock:
            return min(self._due.values()) - self._clock.monotonic() if self._due else None

    def _spawn(self, body: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)
