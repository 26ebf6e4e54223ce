"""Runs calls that may never return in a thread; the caller waits for a limited time only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from vllm_exporter.clock import Clock

Job = Callable[[], None]


class Worker:
    """Runs one job at a time in one daemon thread; while a job hangs no other is started, so threads never pile up.

    All methods are for one calling thread.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # None: the end
        self._done: SimpleQueue[Exception | None] = SimpleQueue()  # what a job raised
        self._thread: threading.Thread | None = None
        self._started: float | None = None  # of the job in progress

    def run(self, job: Job, wait: float) -> bool:
        """Starts the job unless one is still running, and waits at most `wait` seconds. Returns False when not done.

        Raises the error of the job, or of the one before it that was not waited for.
        """
        if not self._finished(0.0):
            return False
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            thread.start()  # raises where no more threads are allowed: then there is none, and the next run tries again
            self._thread = thread
        self._started = self._clock.monotonic()
        self._jobs.put(job)
        return self._finished(wait)

    def busy_seconds(self) -> float:
        """Returns for how many seconds the job in progress has been running; 0 when there is none."""
        return 0.0 if self._started is None else self._clock.monotonic() - self._started

    def stop(self, wait: float) -> bool:
        """Ends the thread. Returns False when it hangs: it is a daemon and ends with the process."""
        if self._thread is None:
            return True
        self._jobs.put(None)
        self._thread.join(wait)
        return not self._thread.is_alive()

    def _finished(self, wait: float) -> bool:
        if self._started is None:
            return True
        try:
            error = self._done.get(timeout=wait) if wait > 0 else self._done.get_nowait()
        except Empty:
            return False
        self._started = None
        if error is not None:
            raise error
        return True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - the boundary of a thread: handed to who waits for it
                self._done.put(error)
            else:
                self._done.put(None)
