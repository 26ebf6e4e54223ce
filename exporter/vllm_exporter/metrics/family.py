"""A metric family and its samples: the values that collectors yield and the renderer prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from operator import itemgetter, pos
from typing import Literal

from vllm_exporter.metrics.gzip import Piece

Kind = Literal["gauge", "counter", "histogram"]
Values = tuple[str, ...]  # label values in the order of the family's labels
Series = tuple["Family", Values]


@dataclass(frozen=True)
class Family:
    """One metric family. `labels` are the only label names its samples may carry, in rendering order."""

    name: str
    kind: Kind
    help: str  # one line, with the unit
    labels: tuple[str, ...] = ()
    of: Family | None = None  # the histogram whose _bucket, _sum or _count this is

    @property
    def whole(self) -> Family:
        """What HELP and TYPE are printed for, and what a collector declares: the histogram of a part, else itself."""
        return self.of or self

    def sample(self, value: float, **labels: str) -> Sample:
        """Raises ValueError when the labels are not exactly those of the family."""
        if set(labels) != set(self.labels):
            raise ValueError(f"{self.name}: labels {sorted(labels)} given, {sorted(self.labels)} declared")
        return Sample(self, tuple(labels[name] for name in self.labels), float(value))


@dataclass(frozen=True)
class Sample:
    """One value of a family; `values` are the label values in the order of `family.labels`."""

    family: Family
    values: Values
    value: float


def histogram_parts(family: Family) -> tuple[Family, Family, Family]:
    """The families of its samples: _bucket, _sum, _count. Raises ValueError when it is no histogram."""
    if family.kind != "histogram" or family.of is not None:
        raise ValueError(f"{family.name} is no histogram")
    bucket = Family(f"{family.name}_bucket", "histogram", family.help, (*family.labels, "le"), family)
    total, count = (
        Family(f"{family.name}_{part}", "histogram", family.help, family.labels, family) for part in ("sum", "count")
    )
    return bucket, total, count


def histogram_series(family: Family, values: Values, bounds: Iterable[float]) -> list[Series]:
    """The series of one histogram, in the order in which they must stand: buckets up to +Inf, sum, count.

    `bounds` are the upper bounds, ascending, without +Inf. The numbers of the buckets are cumulative.
    """
    bucket, total, count = histogram_parts(family)
    edges = (*(repr(float(bound)) for bound in bounds), "+Inf")
    return [*((bucket, (*values, edge)) for edge in edges), (total, values), (count, values)]


class Layout:
    """A fixed list of series: all that stays the same from one reading to the next, worked out once.

    A collector that reads often keeps one and yields `layout.block(numbers)`: numbers in the order of `series` cost a
    tenth of as many samples. A new Layout is due when a device or a process comes or goes.
    """

    def __init__(self, series: Iterable[Series]) -> None:
        """Raises ValueError when a series is there twice, or a label value is missing or not text."""
        self.series = tuple(series)
        order = sorted(range(len(self.series)), key=lambda at: self.series[at][0].whole.name)
        self.grouped = tuple(self.series[at] for at in order)  # the samples of a family stand together in the text
        self.group: Callable[[Sequence[float]], Sequence[float]] = _picker(order)
        self.templates: dict[str, str] = {}  # of the renderer: text format to the text with a %s for each value
        _check(self.series)

    def block(self, numbers: Sequence[float]) -> Block:
        """Raises ValueError when there are not as many numbers as series, TypeError when one is no number."""
        if len(numbers) != len(self.series):
            raise ValueError(f"{len(numbers)} numbers for {len(self.series)} series")
        plain = tuple(map(pos, self.group(numbers)))  # +True is 1: a bool would be printed as a word
        return Block(self, plain, isfinite(sum(plain)))


@dataclass(frozen=True)
class Block:
    """A reading of all series of a layout. Made by `Layout.block`."""

    layout: Layout
    numbers: Sequence[float]  # in the order of `layout.grouped`
    finite: bool  # no NaN and no infinity among them
    pieces: dict[str, Piece] = field(default_factory=dict, compare=False)  # of the renderer: by text format

    def samples(self) -> Iterator[Sample]:
        for (family, values), number in zip(self.layout.grouped, self.numbers, strict=True):
            yield Sample(family, values, number)


def _picker(order: Sequence[int]) -> Callable[[Sequence[float]], Sequence[float]]:
    """What puts numbers into an order; itemgetter does it in C, and gives no tuple for less than two."""
    return itemgetter(*order) if len(order) > 1 else tuple


def _check(series: Sequence[Series]) -> None:
    seen: set[tuple[str, Values]] = set()
    for family, values in series:
        if len(values) != len(family.labels) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{family.name}: label values {values!r} for labels {family.labels}; each must be text")
        if (family.name, values) in seen:
            raise ValueError(f"{family.name}: the series {values!r} is there twice")
        seen.add((family.name, values))
