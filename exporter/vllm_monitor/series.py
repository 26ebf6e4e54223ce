"""The numbers of one process, and what each of them means. One thread writes them, and the snapshot file takes them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "sum", "max", "last", "histogram"]
MAX_VALUES = 16_384  # of a snapshot file
MAX_TEXT = 128  # characters of a label value
OTHER = "other"  # stands for every label value beyond the most that a series may have


@dataclass(frozen=True)
class Histogram:
    """Where a histogram's numbers are: the count of each bucket, not cumulative, and then the sum."""

    at: int
    bounds: tuple[float, ...]


class Series:
    """All series of this process, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.values = array("d")
        self._lines: list[str] = []
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        self._variants: dict[str, int] = {}  # series of each name
        self.changed = True  # whether the directory was not yet taken, or a series came since

    def directory(self, server: str = "", rank: str = "", role: str = "") -> str:
        """Returns the text that describes the values, and takes note that it is known."""
        self.changed = False
        about = [f"@server\t{server}"] * bool(server) + [f"@rank\t{rank}"] * bool(rank)
        about += [f"@role\t{role}"] * bool(role)
        return "".join(f"{line}\n" for line in (*about, *self._lines))

    def place(self, kind: Kind, name: str, most: int = 64, /, **labels: str) -> int:
        """Returns where the value of a series is. Beyond `most` series of a name, its label values are 'other'."""
        key = (name, tuple(labels.values()))
        at = self._places.get(key)
        return at if at is not None else self._add(kind, name, (), 1, most, labels)

    def histogram(self, name: str, bounds: tuple[float, ...], most: int = 64, /, **labels: str) -> Histogram:
        """Returns the histogram; its bounds ascend and have no infinity."""
        key = (name, tuple(labels.values()))
        at = self._places.get(key)
        return Histogram(
            at if at is not None else self._add("histogram", name, bounds, len(bounds) + 2, most, labels), bounds
        )

    def count(self, at: int, by: float = 1.0) -> None:
        """Adds to a counter."""
        self.values[at] += by

    def set(self, at: int, value: float) -> None:
        """Sets a gauge."""
        self.values[at] = value

    def observe(self, histogram: Histogram, value: float, times: int = 1) -> None:
        """Counts a value in its bucket: the first whose bound it does not exceed."""
        self.values[histogram.at + bisect_left(histogram.bounds, value)] += times
        self.values[histogram.at + len(histogram.bounds) + 1] += value * times

    def _add(
        self, kind: Kind, name: str, bounds: tuple[float, ...], width: int, most: int, labels: dict[str, str]
    ) -> int:
        safe = {key: printable(value) for key, value in labels.items()}
        if self._variants.get(name, 0) >= most and labels:
            safe = dict.fromkeys(labels, OTHER)
        key = (name, tuple(safe.values()))
        if key in self._places:
            return self._places[key]
        if len(self.values) + width > MAX_VALUES:
            raise ValueError(f"no room for another series of {name}: a process has {MAX_VALUES} values at most")
        at = self._places[key] = len(self.values)
        self.values.extend([0.0] * width)
        pairs = (f"{label}={value}" for label, value in safe.items())
        self._lines.append("\t".join((kind, name, ",".join(map(repr, bounds)), *pairs)))
        self._variants[name] = self._variants.get(name, 0) + 1
        self.changed = True
        return at


def printable(text: str) -> str:
    """Returns a label value as the file may hold it: at most MAX_TEXT printable characters."""
    return "".join(one if one.isprintable() else "?" for one in text[:MAX_TEXT])
