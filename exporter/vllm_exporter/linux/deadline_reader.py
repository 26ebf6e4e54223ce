"""Reads files that may block for ever, in a thread that is left behind when one does."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path
from typing import Generic, TypeVar

from vllm_exporter.linux.files import read_file

K = TypeVar("K")


class DeadlineReader(Generic[K]):
    """Reads files of processes: the kernel waits for a lock that a process may hold while it hangs in a driver.

    `ask` and `answers` are called from one thread. The reading thread is made at the first request and kept.
    """

    def __init__(self, name: str, size: int, deadline: float) -> None:
        """Reads at most `size` bytes of a file, and gives up a file that takes longer than `deadline` seconds."""
        self._name = name
        self._size = size
        self._deadline = deadline
        self._lane = _Lane[K](size)

    @property
    def open(self) -> int:
        """Returns the number of requests without an answer yet."""
        return self._lane.open

    def ask(self, key: K, path: Path) -> None:
        lane = self._lane
        lane.open += 1
        lane.waiting.append((key, path))
        if lane.thread is None:
            lane.start(self._name)
        lane.wake.set()

    def answers(self, wait: float) -> list[tuple[K, bytes | None]]:
        """Returns the answers so far, after at most `wait` seconds for the rest. None: not readable, or too late."""
        end = time.monotonic() + wait
        found = self._lane.take()
        while self._lane.open and (left := end - time.monotonic()) > 0:
            self._lane.done.wait(min(left, self._deadline))
            self._lane.done.clear()
            found += self._lane.take()
            found += self._give_up()
        return found + self._give_up()

    def close(self) -> None:
        self._lane.stop()

    def _give_up(self) -> list[tuple[K, bytes | None]]:
        at = self._lane.at
        if at is None or time.monotonic() - at[1] < self._deadline:
            return []
        old, self._lane = self._lane, _Lane[K](self._size)
        found = [*old.take(), (at[0], None)]
        rest = list(old.waiting)
        old.stop()
        for key, path in rest:
            self.ask(key, path)
        return found


class _Lane(Generic[K]):
    """One reading thread and its requests."""

    def __init__(self, size: int) -> None:
        self.waiting: deque[tuple[K, Path]] = deque()
        self.wake, self.done = threading.Event(), threading.Event()
        self.at: tuple[K, float] | None = None  # what is being read, and since when
        self.open = 0
        self.thread: threading.Thread | None = None
        self._size = size
        self._answers: deque[tuple[K, bytes | None]] = deque()
        self._stopped = False

    def start(self, name: str) -> None:
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self._stopped = True
        self.waiting.clear()
        self.wake.set()

    def take(self) -> list[tuple[K, bytes | None]]:
        found = [self._answers.popleft() for _ in range(len(self._answers))]
        self.open -= len(found)
        return found

    def _run(self) -> None:
        while not self._stopped:
            self.wake.wait()
            self.wake.clear()
            while self.waiting:
                key, path = self.waiting[0]
                self.at = (key, time.monotonic())
                self.waiting.popleft()
                self._answers.append((key, read_file(path, self._size)))
                self.at = None
            self.done.set()
