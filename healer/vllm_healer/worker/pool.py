"""A pool of threads for jobs that wait on the network. None of them holds up the healer's end, or the other jobs."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Job = Callable[[], None]

# Jobs that begin at the same time. One computes for some milliseconds and then waits on the network; in a storm of 200
# servers 64 that compute at once would keep webhooks from the interpreter's lock for half a second each time.
TURNS = 8
TURN_SECONDS = 0.5  # that a job waits for its turn: those before it may hang


class DaemonPool(Executor):
    """Runs jobs in daemon threads: Python waits for its own pool's, and one look at a hung server takes 20 s.

    Up to `threads` jobs run at the same time. One that has run for more than `patience` seconds no longer counts:
    another thread takes the place of its own, for up to `spare` such jobs.
    """

    def __init__(self, threads: int, name: str, patience: float, spare: int) -> None:
        self._threads = threads
        self._name = name
        self._patience = patience
        self._spare = spare
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._turns = threading.BoundedSemaphore(TURNS)
        self._lock = threading.Lock()
        self._alive: set[threading.Thread] = set()
        self._begun: dict[threading.Thread, float] = {}  # those at work, since when (monotonic)
        self._unfinished = 0  # jobs, at work or not
        self._made = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put(partial(_run, future, partial(fn, *args, **kwargs)))
        with self._lock:
            self._unfinished += 1
            while len(self._alive) < min(self._unfinished, self._wanted()):
                self._start()
        return future

    def _wanted(self) -> int:
        """The most threads there may be now."""
        now = time.monotonic()
        hung = sum(now - begun > self._patience for begun in self._begun.values())
        return self._threads + min(hung, self._spare)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}_{self._made}", daemon=True)
        self._made += 1
        self._alive.add(thread)
        thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            job = self._jobs.get()
            turn = self._turns.acquire(timeout=TURN_SECONDS)
            with self._lock:
                self._begun[me] = time.monotonic()
            job()
            if turn:
                self._turns.release()
            with self._lock:
                del self._begun[me]
                self._unfinished -= 1
                if len(self._alive) > self._wanted():  # another had taken its place
                    self._alive.discard(me)
                    return


def _run(future: Future[T], job: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 - whoever asks the future gets it
        future.set_exception(error)
    else:
        future.set_result(result)
