"""Checks and sorts the series of a collector once, for as long as they stay the same: a tenth of the cost.

A reading of 320 series then takes 16 µs instead of 577: no check, no sorting, no text but the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from operator import itemgetter, pos

from vllm_exporter.errors import SourceError
from vllm_exporter.metrics.family import Family, Row, Sample, Series
from vllm_exporter.metrics.gzip import Piece


class Layout:
    """A fixed list of series, in the order of the page: the samples of a family must stand together."""

    def __init__(self, given: Sequence[Series]) -> None:
        """Keeps the first of a series that is given twice. Raises SourceError for label values that are not text or not
        one per label."""
        first: dict[tuple[str, tuple[str, ...]], int] = {}
        for at, (family, values) in enumerate(given):
            if len(values) != len(family.labels) or not all(isinstance(value, str) for value in values):
                labels = f"label values {values!r} for labels {family.labels}"
                raise SourceError(f"yields {family.name}: {labels}; each must be text")
            first.setdefault((family.name, values), at)
        order = sorted(first.values(), key=lambda at: given[at][0].whole.name)
        self.series = tuple(given[at] for at in order)
        self.templates: dict[str, str] = {}  # for the renderer: text format to the text with a %s for each value
        self._pick: Callable[[Sequence[float]], Sequence[float]] = _picker(order)

    @property
    def families(self) -> dict[str, Family]:
        """Returns the families by name, as collectors declare them."""
        return {family.whole.name: family.whole for family, _ in self.series}

    def block(self, numbers: Sequence[float]) -> Block:
        """Returns a block of `numbers`, in the order of the series given. Raises TypeError when one is no number."""
        plain = tuple(map(pos, self._pick(numbers)))  # +True is 1: a bool would be printed as a word
        return Block(self, plain, isfinite(sum(plain)))


@dataclass(frozen=True)
class Block:
    """One reading of all series of a layout."""

    layout: Layout
    numbers: Sequence[float]  # in the order of `layout.series`
    finite: bool  # no NaN and no infinity among them
    pieces: dict[str, Piece] = field(default_factory=dict, compare=False)  # for the renderer, by text format

    def samples(self) -> Iterator[Sample]:
        return map(Sample, self.layout.series, self.numbers)


class SeriesCache:
    """Makes blocks of one collector's rows and checks them, so that they cannot spoil the page for the others."""

    def __init__(self, declared: Iterable[Family]) -> None:
        self._declared = frozenset(family.name for family in declared)
        self._series: list[Series] = []
        self._layout = Layout(())

    def block(self, rows: Iterable[Row]) -> Block:
        """Returns the rows as a block. Raises SourceError for an undeclared family or a label value other than text."""
        pairs = list(rows)
        series = [pair[0] for pair in pairs]
        if series != self._series:
            layout = Layout(series)
            for name in layout.families.keys() - self._declared:
                raise SourceError(f"yields {name}, which its `metrics` do not declare")
            self._layout, self._series = layout, series
        return self._layout.block([pair[1] for pair in pairs])


def _picker(order: Sequence[int]) -> Callable[[Sequence[float]], Sequence[float]]:
    """Returns a function that puts numbers into an order. itemgetter does it in C, but needs two for a tuple."""
    return itemgetter(*order) if len(order) > 1 else lambda numbers: tuple([numbers[at] for at in order])
