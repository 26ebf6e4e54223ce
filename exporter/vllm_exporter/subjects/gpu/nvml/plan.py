"""From the numbers of one big struct to the numbers of series, in as few steps as Python has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter, mul, truediv
from typing import Any

from vllm_exporter.metrics.family import Series
from vllm_exporter.subjects.gpu.nvml.calls import THROTTLE_REASONS, Output

WRAP = 1 << 32  # the driver counts PCIe bytes in 32 bits: pexCounters in ctrl2080bus.h of its open modules


@dataclass
class Meter:
    """A counter of the driver that may fall, made to go on: it wraps, and a reset of the GPU starts it again.

    After a fall that was a wrap WRAP is added; after any other the count goes on from where it was. In doubt it is the
    other: bytes that are missing are a smaller mistake than 4 GiB that never were. How fast it grew tells nothing: 16
    lanes of PCIe 5 carry WRAP 14 times a second.
    """

    last: float = 0  # of the driver; +inf while paused
    offset: float = 0
    _before: float = 0  # `last` when it was paused

    def add(self, now: float, restarted: bool = False) -> float:
        """`restarted`: there are signs that the GPU was reset since the last count."""
        if now < self.last:
            self._fall(now, restarted)
        self.last = now
        return now + self.offset

    def pause(self) -> None:
        """Until the next count the GPU may be reset: a fall is then no wrap."""
        if self.last != inf:
            self._before, self.last = self.last, inf

    def _fall(self, now: float, restarted: bool) -> None:
        if self.last == inf:
            self.offset += self._before if now < self._before else 0
        else:
            self.offset += self.last if restarted or self.last >= WRAP else WRAP


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
        self._meters = [(at, one.meter, _witnesses(one, kept)) for at, one in enumerate(plain) if one.meter is not None]
        self.series: tuple[Series, ...] = (
            *(one.series for one in (*plain, *divided, *multiplied)),
            *((one.output.family, (one.gpu_id, reason)) for one in masks for reason in THROTTLE_REASONS),
        )

    def numbers(self, values: Sequence[Any], before: Sequence[Any] = ()) -> list[float]:
        """In the order of `series`. `before` are the values of the last reading."""
        found: list[float] = [
            *self._plain(values),
            *map(truediv, self._divided(values), self._divisors),
            *map(mul, self._multiplied(values), self._factors),
        ]
        for at, meter, witnesses in self._meters:
            now = found[at]
            if now >= meter.last:  # nearly always, and so without a call
                meter.last = now
                found[at] = now + meter.offset
            else:
                found[at] = meter.add(now, _fell(witnesses, values, before))
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


def _witnesses(of: Cell, cells: Sequence[Cell]) -> tuple[int, ...]:
    """Where the counters of the same GPU are that never wrap, such as its energy: only a reset makes them fall."""
    same = (one for one in cells if one.gpu_id == of.gpu_id and not one.output.wraps)
    return tuple(one.at for one in same if one.output.family.kind == "counter")


def _fell(witnesses: Sequence[int], values: Sequence[Any], before: Sequence[Any]) -> bool:
    return any(at < len(before) and values[at] < before[at] for at in witnesses)


def _pick(cells: Sequence[Cell]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What takes the cells' numbers; itemgetter does it in C, and gives no tuple for less than two."""
    at = [one.at for one in cells]
    if len(at) > 1:
        return itemgetter(*at)
    return lambda values: [values[one] for one in at]
