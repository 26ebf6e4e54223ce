"""What two servers' metrics have in common: families, label sets, and which way their counters go. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Exposition:
    """One reading of /metrics."""

    families: frozenset[tuple[str, str, str]]  # name, type, help
    label_sets: frozenset[tuple[str, tuple[str, ...], str]]  # sample, label names, le
    counters: dict[str, float]  # sample with its labels -> value


def parse(text: str) -> Exposition:
    helps, types, label_sets, counters = {}, {}, set(), {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, helps[name] = line.split(" ", 3)
        elif line.startswith("# TYPE "):
            _, _, name, types[name] = line.split(" ", 3)
        elif match := _LINE.fullmatch(line):
            labels = dict(_LABEL.findall(match[2] or ""))
            label_sets.add((match[1], tuple(sorted(labels)), labels.get("le", "")))
            if _counts(match[1], types):
                counters[f"{match[1]} {sorted(labels.items())}"] = float(match[3])
    families = frozenset((name, types[name], helps.get(name, "")) for name in types)
    return Exposition(families, frozenset(label_sets), counters)


def falling(readings: Sequence[Exposition]) -> list[str]:
    """Counters that went down from one reading to the next."""
    fell: set[str] = set()
    for before, after in pairwise(readings):
        fell |= {name for name, value in after.counters.items() if value < before.counters.get(name, 0)}
    return sorted(fell)


def moving(readings: Sequence[Exposition]) -> set[str]:
    """vllm: samples without their labels' values of which one at least went up."""
    first, last = readings[0].counters, readings[-1].counters
    return {name.split(" ")[0] for name, value in last.items()
            if name.startswith("vllm:") and value > first.get(name, 0)}  # fmt: skip


def _counts(sample: str, types: dict[str, str]) -> bool:
    if types.get(sample) == "counter":
        return True
    base = re.sub(r"_(bucket|count|sum)$", "", sample)
    return base != sample and types.get(base) in ("histogram", "summary")
