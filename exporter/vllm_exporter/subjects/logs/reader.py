"""Reads one log: its source, its counts, and the traceback it is in."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.subjects.logs.follow import Follower, LineFinding
from vllm_exporter.subjects.logs.lines import parse_stamp
from vllm_exporter.subjects.logs.source import Batch, LogSource

NEAR = 5.0  # seconds by which the time of a line just written may be off: beyond, it is of another time zone


@dataclass(frozen=True, slots=True)
class DatedFinding:
    """A finding, and the Unix time at which its line was written."""

    finding: LineFinding
    at: float


@dataclass
class LogCounts:
    """The counts of one log since the exporter's start."""

    readable: bool = False
    problem: str = ""
    lines: int = 0
    last: float | None = None  # Unix time
    cut: int = 0
    skipped: int = 0
    unread: int = 0


class LogReader:
    """Reads one log of one server."""

    def __init__(self, source: LogSource, follower: Follower, clock: Clock) -> None:
        self._source = source
        self._follower = follower
        self._clock = clock
        self._caught_up: float | None = None  # when, in Unix time, nothing was left to read; None: not yet
        self.behind = False  # True if there is more than the last reading took
        self.counts = LogCounts()

    def read(self) -> list[DatedFinding]:
        """Returns the findings in new lines. A log that cannot be read is noted in the counts; nothing is raised."""
        try:
            batch = self._source.read()
        except (NoData, SourceError) as error:
            self.counts.readable, self.counts.problem, self.behind = False, str(error), False
            return []
        self._count(batch)
        told = self._follow(batch)
        self.behind = not batch.live
        if batch.live:
            self._caught_up = self._clock.wall()
        return told

    def close(self) -> None:
        self._source.close()

    def _count(self, batch: Batch) -> None:
        counts = self.counts
        counts.readable, counts.problem, counts.unread = True, "", batch.unread
        counts.lines += len(batch.lines)
        counts.cut += batch.cut
        counts.skipped += batch.skipped
        if batch.lines:
            counts.last = self._clock.wall()

    def _follow(self, batch: Batch) -> list[DatedFinding]:
        if not batch.lines:
            return []
        now = self._clock.wall()
        live = self._caught_up is not None and (batch.live or now - self._caught_up <= NEAR)
        times = [line.time for line in batch.lines]
        found = self._follower.feed_all([line.text for line in batch.lines], times[0] or now)
        return [DatedFinding(one, times[at] or line_time(one.line.stamp, now, live)) for at, one in found]


def line_time(stamp: bytes, now: float, live: bool) -> float:
    """Returns the Unix time of a line. Its own has no year and no zone: in a followed log it counts only near `now`."""
    own = parse_stamp(stamp, now) if stamp else None
    if own is None or own > now or (live and now - own > NEAR):
        return now
    return own
