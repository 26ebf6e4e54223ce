"""Keeps the exporter within its CPU budget: above it, collectors that only scrapes wait for run less often. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

LONGEST = 4.0  # seconds, the longest interval: scrapes come every 5 s, and each shall see something new
PERIOD = 30.0  # seconds over which CPU time is measured; a start-up, which is expensive, is over by then
COMFORT = 0.5  # share of the budget below which intervals get shorter again


class Slowed(Protocol):
    """A collector whose interval the budget changes."""

    name: str
    for_scrapes: bool
    base_interval: float
    interval: float


@dataclass
class CpuBudget:
    """Adjusts intervals. CPU is in seconds; the budget is a share of one core."""

    budget: float
    _before: dict[str, float] = field(default_factory=dict)  # CPU of each collector at the last look
    _total: float | None = None
    _at: float = 0.0

    def adjust(self, now: float, total: float, spent: Iterable[tuple[Slowed, float]]) -> str:
        """Doubles one interval, or halves one, given the CPU that all took so far. Returns what it did, or ''.

        Call it every PERIOD or so; CPU spent before the first call does not count.
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
        """Halves the interval of the cheapest slowed one, if twice its cost keeps the exporter below COMFORT."""
        slowed = [one for one in candidates if one.interval > one.base_interval]
        if not slowed:
            return ""
        one = min(slowed, key=lambda other: costs[other.name])
        if share + costs[one.name] / seconds > self.budget * COMFORT:
            return ""
        one.interval = max(one.base_interval, one.interval / 2)
        return f"{one.name} every {one.interval:g} s again: {share:.2%} of a core leaves room"
