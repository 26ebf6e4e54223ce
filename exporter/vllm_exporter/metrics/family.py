"""Metric families and their samples, which collectors yield."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

MetricKind = Literal["gauge", "counter", "histogram"]
LabelValues = tuple[str, ...]  # label values in the order of the family's labels
Series = tuple["Family", LabelValues]
Row = tuple[Series, float]  # one value of a series


@dataclass(frozen=True, eq=False)  # each is declared once, so identity is enough
class Family:
    """One metric family. `labels` are the only label names its samples may carry, in rendering order."""

    name: str
    kind: MetricKind
    help: str  # one line, with the unit
    labels: tuple[str, ...] = ()
    of: Family | None = None  # the histogram whose _bucket, _sum or _count this is

    @property
    def whole(self) -> Family:
        """Returns the family that has HELP and TYPE and that a collector declares: a part's histogram, else itself."""
        return self.of or self

    def sample(self, value: float, **labels: str) -> Sample:
        """Returns a sample. Raises ValueError when the labels are not exactly those of the family."""
        if labels.keys() != set(self.labels):
            raise ValueError(f"{self.name}: labels {sorted(labels)} given, {sorted(self.labels)} declared")
        return Sample((self, tuple([labels[name] for name in self.labels])), value)


class Sample(NamedTuple):
    """A row whose parts have names."""

    series: Series
    value: float

    @property
    def family(self) -> Family:
        return self.series[0]

    @property
    def values(self) -> LabelValues:
        return self.series[1]


def histogram_parts(family: Family) -> tuple[Family, Family, Family]:
    """Returns the families of a histogram's samples: _bucket, _sum, _count. Raises ValueError for any other family."""
    if family.kind != "histogram" or family.of is not None:
        raise ValueError(f"{family.name} is no histogram")
    bucket = Family(f"{family.name}_bucket", "histogram", family.help, (*family.labels, "le"), family)
    total, count = (
        Family(f"{family.name}_{part}", "histogram", family.help, family.labels, family) for part in ("sum", "count")
    )
    return bucket, total, count


def histogram_series(family: Family, values: LabelValues, bounds: Iterable[float]) -> list[Series]:
    """Returns the series of one histogram in the order of the format: buckets up to +Inf, sum, count.

    `bounds` are the upper bounds, ascending, without +Inf. The values of the buckets must be cumulative.
    """
    bucket, total, count = histogram_parts(family)
    edges = (*(repr(float(bound)) for bound in bounds), "+Inf")
    return [*((bucket, (*values, edge)) for edge in edges), (total, values), (count, values)]
