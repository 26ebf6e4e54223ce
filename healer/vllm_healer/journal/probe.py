"""Tells whether the disk takes alerts, by a write of its own, once in a while, however many want to know.

The write is small, and may find room where an alert finds none: after alerts were refused it is as large as they were.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from vllm_healer.elapsed import elapsed
from vllm_healer.errors import JournalError
from vllm_healer.model import Instant

USUAL = 8 * 1024  # bytes; about an alert with its sentence
REFUSED = 128 * 1024  # after one was refused: each touches pages of several tables and indexes
MOST = 4 * 1024 * 1024


class Probe:
    """Remembers the last answer. Any thread may ask; those that come meanwhile wait for the one that asks."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._gate = threading.Lock()
        self._asked: Instant | None = None
        self._trouble = ""
        self._size = USUAL

    def taken(self) -> None:
        """Notes that alerts were written."""
        self._size = USUAL

    def refused(self, alerts: int) -> None:
        """Notes that so many alerts were not written."""
        self._size = min(MOST, max(REFUSED, alerts * USUAL))

    def ask(self, now: Instant, write: Callable[[int], object]) -> None:
        """Raises JournalError when `write` of so many bytes does, or did a moment ago."""
        with self._gate:
            if self._asked is None or elapsed(self._asked, now) >= self._seconds:
                self._asked, self._trouble = now, self._try(write)
            if self._trouble:
                raise JournalError(self._trouble)

    def _try(self, write: Callable[[int], object]) -> str:
        size = self._size
        try:
            write(size)
        except JournalError as error:
            return str(error)
        if size == self._size:  # no alerts were refused meanwhile
            self._size = USUAL
        return ""
