"""From the numbers of one big struct to the numbers of series, in as few steps as Python has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter, mul, truediv
from typing import Any

from vllm_exporter.family import Series
from vllm_exporter.sources.nvml.calls import THROTTLE_REASONS, Output


@dataclass
class Meter:
    """A counter of the driver that may start again from 0, made to go on. 32 bits is what drivers count PCIe in."""

    last: float = 0
    offset: float = 0

    def add(self, now: float) -> float:
        if now < self.last:
            self.offset += 1 << 32 if self.last < 1 << 32 else self.last
        self.last = now
        return now + self.offset


@dataclass(frozen=True)
class Cell:
    """Where in the struct a series' number is."""

    gpu_id: str
    output: Output
    at: int
    meter: Meter | None = field(default=None, compare=False)

    @property
    def series(self) -> Series:
        label = (self.output.label,) if self.output.label else ()
        return self.output.family, (self.gpu_id, *label)


class Plan:
    """Which numbers are taken, and what becomes of them. Made anew when one comes or goes."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        kept = list(cells)
        plain = [one for one in kept if one.output.divide == one.output.multiply == 1 and not one.output.mask]
        divided = [one for one in kept if one.output.divide != 1]
        multiplied = [one for one in kept if one.output.multiply != 1]
        masks = [one for one in kept if one.output.mask]
        self._plain, self._divided = _pick(plain), _pick(divided)
        self._multiplied, self._masks = _pick(multiplied), _pick(masks)
        self._divisors = [one.output.divide for one in divided]
        self._factors = [one.output.multiply for one in multiplied]
        self._meters = [(at, one.meter) for at, one in enumerate(plain) if one.meter is not None]
        self.series: tuple[Series, ...] = (
            *(one.series for one in (*plain, *divided, *multiplied)),
            *((one.output.family, (one.gpu_id, reason)) for one in masks for reason in THROTTLE_REASONS),
        )

    def numbers(self, values: Sequence[Any]) -> list[float]:
        """In the order of `series`."""
        found: list[float] = [
            *self._plain(values),
            *map(truediv, self._divided(values), self._divisors),
            *map(mul, self._multiplied(values), self._factors),
        ]
        for at, meter in self._meters:
            found[at] = meter.add(found[at])
        for mask in self._masks(values):
            found += reasons(mask)
        return found


_known: dict[int, tuple[int, ...]] = {}  # few masks ever occur: 9 bits


def reasons(mask: int) -> tuple[int, ...]:
    """1 or 0 for each of THROTTLE_REASONS."""
    bits = mask & 0xFF
    found = _known.get(bits)
    if found is None:
        found = _known[bits] = tuple(int(bool(bits & bit)) for bit in THROTTLE_REASONS.values())
    return found


def _pick(cells: Sequence[Cell]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What takes the cells' numbers; itemgetter does it in C, and gives no tuple for less than two."""
    at = [one.at for one in cells]
    if len(at) > 1:
        return itemgetter(*at)
    return lambda values: [values[one] for one in at]
