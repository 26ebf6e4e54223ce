"""Prometheus' text of the series that a server's processes have written into their files. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from vllm_monitor.reading import Entry, Snapshot

TYPES = {"counter": "counter", "sum": "gauge", "max": "gauge", "last": "gauge", "histogram": "histogram"}
LARGEST = ("max", "last")  # kinds of which the largest value of all processes counts


def render(snapshots: Iterable[Snapshot], now: float) -> str:
    """Returns the text, each series summed over the processes. `now`: CLOCK_MONOTONIC, in seconds."""
    lines: list[str] = []
    family = ""
    for entry in sorted(merge(snapshots), key=lambda one: (one.name, one.labels)):
        if entry.name != family:
            family = entry.name
            lines.append(f"# TYPE {family} {TYPES[entry.kind]}")
        lines += _histogram(entry) if entry.kind == "histogram" else [_sample(entry, now)]
    return "".join(f"{line}\n" for line in lines)


def merge(snapshots: Iterable[Snapshot]) -> list[Entry]:
    """Joins series of the same name and labels as the exporter does; others of that name are left out."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Entry] = {}
    for entry in (each for one in snapshots for each in one.entries):
        old = found.setdefault((entry.name, entry.labels), entry)
        if old is not entry and (old.kind, old.bounds) == (entry.kind, entry.bounds):
            join = max if entry.kind in LARGEST else float.__add__
            values = tuple(join(a, b) for a, b in zip(old.values, entry.values, strict=True))
            found[entry.name, entry.labels] = Entry(entry.kind, entry.name, entry.bounds, entry.labels, values)
    return list(found.values())


def _sample(entry: Entry, now: float) -> str:
    value = max(0.0, now - entry.values[0]) if entry.kind == "last" else entry.values[0]
    return f"{entry.name}{_labels(entry.labels)} {value!r}"


def _histogram(entry: Entry) -> list[str]:
    bounds = [*(repr(bound) for bound in entry.bounds), "+Inf"]
    counts = list(accumulate(entry.values[:-1]))
    return [
        *(
            f"{entry.name}_bucket{_labels((*entry.labels, ('le', bound)))} {count!r}"
            for bound, count in zip(bounds, counts, strict=True)
        ),
        f"{entry.name}_sum{_labels(entry.labels)} {entry.values[-1]!r}",
        f"{entry.name}_count{_labels(entry.labels)} {counts[-1]!r}",
    ]


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    pairs = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels)
    return f"{{{pairs}}}" if pairs else ""


def _quoted(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
