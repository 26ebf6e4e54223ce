"""Computes when a collector runs next. Pure; times are monotonic seconds."""

from __future__ import annotations

from math import ceil

LEAD = 0.5  # seconds before a scrape at which a collector reads: that takes some ms, and a scraper has jitter
JITTER = 0.1  # share of an interval by which a reading may be early: scrapes are not quite regular
LONGEST = 10.0  # seconds between two readings at most, however rare scrapes are: others need facts about GPUs too


class ScrapeTimes:
    """Expects the next scrape from the time between the last two. Written by one thread, read by others."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None  # when it came, and seconds since the one before; 0: the first

    def saw(self, now: float) -> None:
        before = self._last
        self._last = (now, now - before[0] if before else 0.0)

    def next_from(self, now: float) -> float | None:
        """Returns when a scrape is expected, `now` or later; None when that is unknown, or scrapes are too rare."""
        if self._last is None:
            return None
        at, period = self._last
        if not 0 < period <= LONGEST:
            return None
        return at + period * ceil((now - at) / period)


def next_due(due: float, now: float, interval: float) -> float:
    """Returns the first time after `now` on the grid of `due`: no drift; a slow run skips runs instead of piling up."""
    return due + interval * max(1, int((now - due) // interval) + 1)


def next_for_scrape(due: float, now: float, interval: float, scrapes: ScrapeTimes) -> float:
    """Returns LEAD before the first scrape that leaves an interval after `due`; without scrapes, as `next_due`."""
    soonest = max(now, due + interval * (1 - JITTER))
    scrape = scrapes.next_from(soonest + LEAD)
    return next_due(due, now, interval) if scrape is None else scrape - LEAD
