"""Runs a request that may take long, now and then, in a thread of its own; never two at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class PeriodicTask:
    """Calls `run` in a thread, every `interval` seconds at most."""

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
        """Makes the next `go_if_due` start a run: the last result is of a server that is no more."""
        self._due = 0.0
