"""Keeps the exporter within its CPU budget: while it takes more, what only scrapes wait for runs less often. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

LONGEST = 4.0  # seconds that an interval may become: a scrape is every 5 s, and each shall see something new
PERIOD = 30.0  # seconds over which CPU time is measured; a start-up, which is expensive, is over by then
COMFORT = 0.5  # of the budget: below it, intervals get shorter again


class Slowed(Protocol):
    """A collector as far as it is slowed down."""

    name: str
    for_scrapes: bool
    base_interval: float
    interval: float


@dataclass
class CpuBudget:
    """CPU is in seconds; the budget is a share of one core."""

    budget: float
    _before: dict[str, float] = field(default_factory=dict)  # CPU of each collector at the last look
    _total: float | None = None
    _at: float = 0.0

    def adjust(self, now: float, total: float, spent: Iterable[tuple[Slowed, float]]) -> str:
        """Doubles one interval, or halves one, given the CPU that all took so far. Says what it did, or ''.

        Call it every PERIOD or so; what happened before the first call does not count.
        """
        runs = list(spent)
        costs = {one.name: cpu - self._before.get(one.name, 0.0) for one, cpu in runs}
        self._before = {one.name: cpu for one, cpu in runs}
        before, seconds = self._total, now - self._at
        self._total, self._at = total, now
        if before is None or seconds <= 0:
            return ""
        share = (total - before) / seconds
        candidates = [one for one, _ in runs if one.for_scrapes]
        if share > self.budget:
            return self._slow(candidates, costs, share)
        return self._hasten(candidates, costs, share, seconds)

    def _slow(self, candidates: list[Slowed], costs: dict[str, float], share: float) -> str:
        able = [one for one in candidates if one.interval * 2 <= LONGEST]
        if not able:
            return ""
        one = max(able, key=lambda other: costs[other.name])
        one.interval *= 2
        return f"{one.name} every {one.interval:g} s: {share:.2%} of a core is more than {self.budget:.2%}"

    def _hasten(self, candidates: list[Slowed], costs: dict[str, float], share: float, seconds: float) -> str:
        """The cheapest of the slowed ones, if twice its cost still leaves the exporter comfortable."""
        slowed = [one for one in candidates if one.interval > one.base_interval]
        if not slowed:
            return ""
        one = min(slowed, key=lambda other: costs[other.name])
        if share + costs[one.name] / seconds > self.budget * COMFORT:
            return ""
        one.interval = max(one.base_interval, one.interval / 2)
        return f"{one.name} every {one.interval:g} s again: {share:.2%} of a core leaves room"
