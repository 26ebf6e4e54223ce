"""A thread for calls that may never return: whoever waits for it gets on after a while."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vllm_exporter.ports import Clock


class Worker:
    """Runs one job at a time in one daemon thread; while a job hangs no other is started, so threads never pile up.

    Handing a job over and back costs 11 µs. All methods are for one calling thread.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._go = threading.Lock()
        self._done = threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._thread: threading.Thread | None = None
        self._job: Callable[[], None] | None = None
        self._started: float | None = None  # of the job in progress
        self._error: Exception | None = None

    def run(self, job: Callable[[], None], wait: float) -> bool:
        """Starts the job unless one is still running, and waits at most `wait` seconds. False: not done.

        Raises what the job raised, or the one before it that was not waited for.
        """
        if not self._finished(0.0):
            return False
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            thread.start()  # raises where no more threads are allowed: then there is none, and the next run tries again
            self._thread = thread
        self._job, self._started = job, self._clock.monotonic()
        self._go.release()
        return self._finished(wait)

    def busy_seconds(self) -> float:
        """How long the job in progress has been running; 0 when there is none."""
        return 0.0 if self._started is None else self._clock.monotonic() - self._started

    def stop(self, wait: float) -> bool:
        """Ends the thread; False when it hangs: it is a daemon and ends with the process."""
        if self._thread is None:
            return True
        if self._started is not None and not self._done.acquire(timeout=wait):
            return False
        self._job, self._started = None, None
        self._go.release()
        self._thread.join(wait)
        return not self._thread.is_alive()

    def _finished(self, wait: float) -> bool:
        if self._started is None:
            return True
        if not (self._done.acquire(timeout=wait) if wait > 0 else self._done.acquire(blocking=False)):
            return False
        self._started = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    def _work(self) -> None:
        while True:
            self._go.acquire()
            if self._job is None:
                return
            try:
                self._job()
            except Exception as error:  # noqa: BLE001 - the boundary of a thread: handed to who waits for it
                self._error = error
            self._done.release()
