"""Decides in which order logs are read, and for how long: a busy one is caught up with, and delays no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from vllm_exporter.clock import Clock
from vllm_exporter.subjects.logs.places import LogPlace
from vllm_exporter.subjects.logs.reader import LogReader

RUN_SECONDS = 0.8  # of each second at most: the rest is for other threads, which share Python's lock


class FairShare:
    """Gives each log a chunk in turn, and those that have more another, until none has or the time is up."""

    def __init__(self, readers: Mapping[LogPlace, LogReader], clock: Clock) -> None:
        self._order = tuple(readers.items())
        self._clock = clock

    def take(self) -> Iterator[tuple[LogPlace, LogReader]]:
        """Yields the logs to read next, for one run. One that was left waiting comes first in the next run."""
        waiting = deque(self._order)
        done: list[tuple[LogPlace, LogReader]] = []
        until = self._clock.monotonic() + RUN_SECONDS
        while waiting and self._clock.monotonic() < until:
            place, reader = waiting.popleft()
            yield place, reader
            (waiting if reader.behind else done).append((place, reader))
        self._order = (*waiting, *done)
