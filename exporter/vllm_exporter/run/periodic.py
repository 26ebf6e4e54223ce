"""A question that may wait long for its answer: asked now and then in a thread of its own, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class PeriodicTask:
    """`run` is what the thread does."""

    def __init__(self, name: str, run: Callable[[], None], interval: float) -> None:
        self.interval = interval  # seconds; may be changed
        self._name = name
        self._run = run
        self._due = 0.0
        self._thread: threading.Thread | None = None

    def go_if_due(self, now: float) -> None:
        if now < self._due or (self._thread is not None and self._thread.is_alive()):
            return
        self._due = now + self.interval
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """The next chance is taken: what is known is of a server that is no more."""
        self._due = 0.0
