"""Asks at most once in a while whether the disk takes something, however many want to know."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vllm_healer.elapsed import elapsed
from vllm_healer.errors import JournalError
from vllm_healer.model import Instant


class Probe:
    """Remembers the last answer. Any thread may ask; those that come meanwhile wait for the one that asks."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._gate = threading.Lock()
        self._asked: Instant | None = None
        self._trouble = ""

    def ask(self, now: Instant, write: Callable[[], object]) -> None:
        """Raises JournalError when `write` does, or did a moment ago."""
        with self._gate:
            if self._asked is None or elapsed(self._asked, now) >= self._seconds:
                self._asked, self._trouble = now, _trouble_of(write)
            if self._trouble:
                raise JournalError(self._trouble)


def _trouble_of(write: Callable[[], object]) -> str:
    try:
        write()
    except JournalError as error:
        return str(error)
    return ""
