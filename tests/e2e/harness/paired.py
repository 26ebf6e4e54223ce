"""Two ways that were measured in turn: by how much they differ, and how well that is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb
from statistics import median

from tests.e2e.harness.figures import Figure

SURE = 0.95


@dataclass(frozen=True)
class Interval:
    """A median with the limits between which it lies with a probability of SURE."""

    low: float
    median: float
    high: float

    def figures(self, name: str, unit: str, goal: float | None = None) -> list[Figure]:
        """The goal is the median's."""
        return [
            Figure(name, unit, (self.median,), goal),
            Figure(f"{name}_interval_from", unit, (self.low,)),
            Figure(f"{name}_interval_to", unit, (self.high,)),
        ]


def more_percent(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """By how many percent ours is above theirs, turn by turn."""
    return [(one / other - 1) * 100 for one, other in zip(ours, theirs, strict=True)]


def interval(values: Sequence[float]) -> Interval:
    """Of the median, by the ranks of the values: nothing is assumed of how they are spread (the sign test's interval).

    Fewer than six values cannot be so sure: then the interval is all of them.
    """
    ordered = sorted(values)
    number, cut = len(ordered), 0
    while 2 * _below(cut + 1, number) <= 1 - SURE:
        cut += 1
    return Interval(ordered[max(0, cut - 1)], median(ordered), ordered[number - max(1, cut)])


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed. Raises IndexError for none."""
    return sorted(values)[max(0, ceil(len(values) * share) - 1)]


def _below(rank: int, number: int) -> float:
    """The probability that fewer than `rank` of the values are below the true median."""
    return float(sum(comb(number, each) for each in range(rank)) / 2**number)
