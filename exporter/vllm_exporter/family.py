"""A metric family and its samples: the values that collectors yield and the renderer prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter"]


@dataclass(frozen=True)
class Family:
    """One metric family. `labels` are the only label names its samples may carry, in rendering order."""

    name: str
    kind: Kind
    help: str  # one line, with the unit
    labels: tuple[str, ...] = ()

    def sample(self, value: float, **labels: str) -> Sample:
        """Raises ValueError when the labels are not exactly those of the family."""
        if set(labels) != set(self.labels):
            raise ValueError(f"{self.name}: labels {sorted(labels)} given, {sorted(self.labels)} declared")
        return Sample(self, tuple(labels[name] for name in self.labels), float(value))


@dataclass(frozen=True)
class Sample:
    """One value of a family; `values` are the label values in the order of `family.labels`."""

    family: Family
    values: tuple[str, ...]
    value: float
