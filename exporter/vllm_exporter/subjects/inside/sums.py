"""Joins the snapshots of a server's processes into one set of series. Pure.

Counters and histograms of processes that ended stay in a base, so that no sum goes backwards; gauges end with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from vllm_exporter.metrics.family import Family, LabelValues, Series, histogram_series
from vllm_exporter.subjects.inside.format import Entry, EntryKind, ProcessSnapshot

SeriesKey = tuple[str, LabelValues]  # name of the family and all label values, server first

KINDS: Mapping[str, str] = {
    "counter": "counter",
    "sum": "gauge",
    "max": "gauge",
    "last": "gauge",
    "histogram": "histogram",
}
LARGEST = ("max", "last")  # kinds of which the largest value of all processes counts
MAX_SERIES = 5000  # of all servers together; a process that invents labels must not fill the page


@dataclass
class Slot:
    """The place where the values of one series are added up: `width` numbers from `at`."""

    entry: Entry  # with the kind and the bounds that all contributors have
    at: int = 0


@dataclass(frozen=True)
class KeptSeries:
    """The part of one series that ended processes counted: a count, or the numbers of a histogram."""

    kind: EntryKind
    bounds: tuple[float, ...]
    numbers: tuple[float, ...]


Move = tuple[int, int]  # from a process's value to a number of the sum


@dataclass
class Plan:
    """A way to add up values, computed once for a set of processes and their directories."""

    series: Sequence[Series]
    base: list[float]
    added: list[list[Move]]  # of each process
    compared: list[list[Move]]  # of each process: gauges of which the largest counts
    histograms: list[tuple[int, int]]  # first number and number of buckets
    times: list[int]  # numbers that are times, to be shown as ages

    def add(self, values: Iterable[Sequence[float]], now: float) -> list[float]:
        """Returns a number for each of the series; takes 25 µs for a process of 300 values. `now`: CLOCK_MONOTONIC."""
        out = list(self.base)
        for numbers, added, compared in zip(values, self.added, self.compared, strict=True):
            for source, target in added:
                out[target] += numbers[source]
            for source, target in compared:
                out[target] = max(out[target], numbers[source])
        for at, buckets in self.histograms:
            out[at : at + buckets] = accumulate(out[at : at + buckets])
            out[at + buckets + 1] = out[at + buckets - 1]  # _count is the last bucket
        for at in self.times:
            out[at] = max(0.0, now - out[at])
        return out


@dataclass
class Sums:
    """The base, and the families that may be rendered."""

    families: Mapping[str, Family]
    base: dict[SeriesKey, KeptSeries] = field(default_factory=dict)

    def fold(self, server: str, snapshot: ProcessSnapshot) -> None:
        """Adds the counts of a process that has ended to the base."""
        self._add(server, snapshot, 1.0)

    def unfold(self, server: str, snapshot: ProcessSnapshot) -> None:
        """Takes the counts of a process that was silent and is back out of the base again."""
        self._add(server, snapshot, -1.0)

    def _add(self, server: str, snapshot: ProcessSnapshot, sign: float) -> None:
        for entry, family in self._known(snapshot):
            if KINDS[entry.kind] == "gauge":
                continue
            numbers = tuple(sign * one for one in snapshot.values[entry.at : entry.at + entry.width])
            key = (family.name, key_of(family, server, entry))
            old = self.base.get(key)
            if old is None and len(self.base) >= MAX_SERIES:
                continue
            new = KeptSeries(entry.kind, entry.bounds, numbers)
            self.base[key] = join(old, new) if old else new

    def plan(self, servers: Sequence[str], snapshots: Sequence[ProcessSnapshot]) -> Plan:
        """Returns the plan for these processes, in this order."""
        slots = self._slots(servers, snapshots)
        series: list[Series] = []
        for (name, values), slot in slots.items():
            slot.at = len(series)
            histogram = slot.entry.kind == "histogram"
            family = self.families[name]
            series += histogram_series(family, values, slot.entry.bounds) if histogram else [(family, values)]
        pairs = list(zip(servers, snapshots, strict=True))
        return Plan(
            series,
            self._start(slots, len(series)),
            [self._moves(server, one, slots, compared=False) for server, one in pairs],
            [self._moves(server, one, slots, compared=True) for server, one in pairs],
            [(slot.at, len(slot.entry.bounds) + 1) for slot in slots.values() if slot.entry.kind == "histogram"],
            [slot.at for slot in slots.values() if slot.entry.kind == "last"],
        )

    def ignored(self, snapshots: Iterable[ProcessSnapshot]) -> list[str]:
        """Returns the names of series without a family, or with another kind or other labels than declared."""
        return sorted({one.name for shot in snapshots for one in shot.directory.entries if not self._family(one)})

    def _slots(self, servers: Sequence[str], snapshots: Sequence[ProcessSnapshot]) -> dict[SeriesKey, Slot]:
        found: dict[SeriesKey, Slot] = {}
        for (name, values), kept in self.base.items():
            _meet(found, (name, values), Entry(kept.kind, name, (), 0, kept.bounds))
        for server, snapshot in zip(servers, snapshots, strict=True):
            for entry, family in self._known(snapshot):
                _meet(found, (family.name, key_of(family, server, entry)), entry)
        return dict(sorted(found.items())[:MAX_SERIES])

    def _moves(
        self, server: str, snapshot: ProcessSnapshot, slots: Mapping[SeriesKey, Slot], compared: bool
    ) -> list[Move]:
        moves: list[Move] = []
        for entry, family in self._known(snapshot):
            slot = slots.get((family.name, key_of(family, server, entry)))
            if slot is not None and (slot.entry.kind in LARGEST) == compared:
                targets = spread(entry.bounds, slot.entry.bounds) if entry.kind == "histogram" else [0]
                moves += [(entry.at + source, slot.at + target) for source, target in enumerate(targets)]
        return moves

    def _start(self, slots: Mapping[SeriesKey, Slot], size: int) -> list[float]:
        start = [0.0] * size
        for key, slot in slots.items():
            kept = self.base.get(key)
            if kept is not None:
                targets = spread(kept.bounds, slot.entry.bounds) if kept.kind == "histogram" else [0]
                for number, target in zip(kept.numbers, targets, strict=True):
                    start[slot.at + target] += number
            elif slot.entry.kind in LARGEST:
                start[slot.at] = float("-inf")
        return start

    def _known(self, snapshot: ProcessSnapshot) -> Iterable[tuple[Entry, Family]]:
        pairs = ((entry, self._family(entry)) for entry in snapshot.directory.entries)
        return ((entry, family) for entry, family in pairs if family is not None)

    def _family(self, entry: Entry) -> Family | None:
        family = self.families.get(entry.name)
        if family is None or family.kind != KINDS[entry.kind]:
            return None
        return family if sorted(family.labels[1:]) == [name for name, _ in entry.labels] else None


def key_of(family: Family, server: str, entry: Entry) -> LabelValues:
    """Returns the label values in the family's order; its first label is the server."""
    given = dict(entry.labels)
    return (server, *(given[name] for name in family.labels[1:]))


def spread(bounds: Sequence[float], common: Sequence[float]) -> list[int]:
    """Returns where a histogram's numbers go in one with a part of its bounds: a bucket to the next larger one, and the
    sum after the buckets."""
    into = [sum(1 for one in common if one < bound) for bound in bounds]
    return [*into, len(common), len(common) + 1]


def join(a: KeptSeries, b: KeptSeries) -> KeptSeries:
    """Adds two series, in the buckets that both have."""
    common = tuple(bound for bound in a.bounds if bound in b.bounds)
    numbers = [0.0] * (len(common) + 2 if b.kind == "histogram" else 1)
    for one in (a, b):
        targets = spread(one.bounds, common) if b.kind == "histogram" else [0]
        for number, target in zip(one.numbers, targets, strict=True):
            numbers[target] += number
    return KeptSeries(b.kind, common, tuple(numbers))


def _meet(slots: dict[SeriesKey, Slot], key: SeriesKey, entry: Entry) -> None:
    """Reduces the series to the bounds that all have: counts at these are exact."""
    slot = slots.setdefault(key, Slot(entry))
    if slot.entry.bounds != entry.bounds:
        common = tuple(bound for bound in slot.entry.bounds if bound in entry.bounds)
        slot.entry = Entry(entry.kind, entry.name, entry.labels, 0, common)
