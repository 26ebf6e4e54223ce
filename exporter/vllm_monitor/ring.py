"""A bounded queue between a thread that may not wait, and the one that counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from time import monotonic
from typing import Any

# Steps come up to 300 a second and are taken every quarter of one; what a thread that hangs leaves behind stays small.
MOST = 1024

Entry = tuple[int, float, tuple[Any, ...], dict[str, Any]]  # number, CLOCK_MONOTONIC, arguments, named arguments


class Ring:
    """Keeps the newest `most` entries. `append` is a plain closure, which takes a third of a microsecond."""

    def __init__(self, most: int = MOST) -> None:
        self.dropped = 0  # entries that were pushed out before they were taken
        self._entries: deque[Entry] = deque(maxlen=most)
        self._next = 0
        self.append = _appender(self._entries)

    def take(self) -> Iterator[tuple[float, tuple[Any, ...], dict[str, Any]]]:
        """Yields what is there, oldest first, and forgets it."""
        for _ in range(len(self._entries)):
            try:
                number, at, arguments, named = self._entries.popleft()
            except IndexError:  # another thread took it
                return
            self.dropped += number - self._next
            self._next = number + 1
            yield at, arguments, named


def _appender(entries: deque[Entry]) -> Callable[..., None]:
    """Returns a function that keeps its arguments with a number and the time. Local names are half its speed."""
    push, number, now = entries.append, count().__next__, monotonic

    def append(*arguments: Any, **named: Any) -> None:
        push((number(), now(), arguments, named))

    return append
