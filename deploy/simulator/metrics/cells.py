"""Numbers of /metrics and their lines. The lines' beginnings are made once: a text has some 400 of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Protocol


class Cell(Protocol):
    """One label set of a family."""

    created: float

    def lines(self) -> Iterator[str]: ...


class Number:
    """A gauge or a counter."""

    def __init__(self, name: str, labels: Mapping[str, str], created: float) -> None:
        self.value = 0.0
        self.created = created
        self._head = name + label_text(labels)

    def lines(self) -> Iterator[str]:
        yield f"{self._head} {number_text(self.value)}"


class Summary:
    """A count and a sum."""

    def __init__(self, name: str, labels: Mapping[str, str], created: float) -> None:
        self.count = 0
        self.sum = 0.0
        self.created = created
        self._heads = (f"{name}_count{label_text(labels)}", f"{name}_sum{label_text(labels)}")

    def observe(self, value: float) -> None:
        self.count += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        yield f"{self._heads[0]} {number_text(self.count)}"
        yield f"{self._heads[1]} {number_text(self.sum)}"


class Histogram(Summary):
    """A summary with buckets."""

    def __init__(self, name: str, labels: Mapping[str, str], created: float, bounds: tuple[float, ...]) -> None:
        super().__init__(name, labels, created)
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        limits = (*map(number_text, bounds), "+Inf")
        self._buckets = [f"{name}_bucket{label_text({**labels, 'le': limit})}" for limit in limits]

    def observe(self, value: float) -> None:
        super().observe(value)
        self._counts[bisect_left(self._bounds, value)] += 1

    def lines(self) -> Iterator[str]:
        below = 0
        for head, count in zip(self._buckets, self._counts, strict=True):
            below += count
            yield f"{head} {number_text(below)}"
        yield from super().lines()


def label_text(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(labels[name])}"' for name in sorted(labels)) + "}"


def number_text(value: float) -> str:
    """Writes a number as prometheus_client does: 12.0, 1.079449e+06, +Inf."""
    text = repr(float(value))
    if text in ("inf", "-inf", "nan"):
        return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}[text]
    dot = text.find(".")
    if value > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+0{dot - 1}"
    return text


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
