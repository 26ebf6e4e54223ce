"""Keeps the counts of ended processes over a restart of the exporter, so that it takes nothing from the sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from vllm_exporter.state import Content
from vllm_exporter.subjects.inside.format import ProcessIdentity
from vllm_exporter.subjects.inside.sums import KeptSeries, SeriesKey


@dataclass(frozen=True)
class KeptSums:
    """The sums. `folded` are the processes that they include, though their files may still be there."""

    sums: Mapping[SeriesKey, KeptSeries] = field(default_factory=dict)
    folded: frozenset[ProcessIdentity] = frozenset()


def parse_base(content: Content) -> KeptSums:
    """Reads the form of `format_base`. Raises ValueError, LookupError or TypeError for anything else."""
    sums = dict(_parse_sum(item) for item in content["sums"])
    folded = frozenset(
        ProcessIdentity(str(boot), int(space), int(pid), int(start)) for boot, space, pid, start in content["folded"]
    )
    return KeptSums(sums, folded)


def format_base(sums: Mapping[SeriesKey, KeptSeries], folded: Iterable[ProcessIdentity]) -> Content:
    items = [[name, labels, kept.kind, kept.bounds, kept.numbers] for (name, labels), kept in sums.items()]
    return {"sums": items, "folded": [[one.boot, one.namespace, one.pid, one.start] for one in folded]}


def _parse_sum(item: Any) -> tuple[SeriesKey, KeptSeries]:
    name, labels, kind, bounds, numbers = item
    if kind not in ("counter", "histogram"):
        raise ValueError(f"unknown kind {kind!r}")
    kept = KeptSeries(kind, tuple(float(one) for one in bounds), tuple(float(one) for one in numbers))
    if not all(0 <= one < inf for one in kept.numbers):
        raise ValueError(f"{name}: a number that cannot be")
    if len(kept.numbers) != (len(kept.bounds) + 2 if kind == "histogram" else 1):
        raise ValueError(f"{name}: {len(kept.numbers)} numbers")
    return (str(name), tuple(str(one) for one in labels)), kept
