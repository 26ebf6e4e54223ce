"""Series as promtool's tests write them, as a history for `promtool tsdb`, and as a page that goes on from it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

_SERIES = re.compile(r"\s*(?P<name>[a-zA-Z_:][\w:]*)?\s*(?:\{(?P<labels>.*)\})?\s*")
_LABEL = re.compile(r'\s*(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|\'[^\']*\')\s*,?')
_STEPS = re.compile(r"(?P<first>[-+]?[\w.]+?)(?:(?P<step>[+-][\d.]+(?:e[+-]?\d+)?))?x(?P<times>\d+)")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_COUNTERS = re.compile(r"_(?:total|count|sum|bucket)$")
# Their values are times. Those of the tests count from the epoch, at which their clock begins.
_TIMES = re.compile(r"timestamp_seconds$|_start_time_seconds$")


@dataclass(frozen=True)
class Series:
    name: str
    labels: dict[str, str]
    values: tuple[float | None, ...]  # None: no sample
    step: float  # seconds between two

    def at(self, age: float, began: float) -> float | None:
        """The value `age` seconds after the first; after the last one it stays."""
        value = self.values[min(int(age // self.step), len(self.values) - 1)]
        return value + began if value is not None and _TIMES.search(self.name) else value

    def held(self, age: float, since: float, began: float) -> float | None:
        """The value `since` seconds after that at `age`, had nothing changed: a gauge stays, a counter goes on."""
        value, before = self.at(age, began), self.at(max(age - self.step, 0), began)
        if value is None or before is None or not _COUNTERS.search(self.name):
            return value
        return value + max(value - before, 0.0) * since / self.step

    def line(self, value: float, more: str = "") -> str:
        pairs = [f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in self.labels.items()]
        number = "NaN" if math.isnan(value) else repr(value)
        return f"{self.name}{{{','.join([*pairs, *([more] if more else [])])}}} {number}"


def history(series: Iterable[Series], age: float, now: float) -> list[str]:
    """Returns lines of OpenMetrics: all samples up to `now`, at which they are `age` seconds old."""
    began = now - age
    lines = []
    for one in series:
        for index in range(min(int(age // one.step) + 1, 20_000)):
            value = one.at(index * one.step, began)
            if value is not None:
                lines.append(f"{one.line(value)} {began + index * one.step:.3f}")
    return lines


def page(series: Iterable[Series], age: float, since: float, began: float) -> list[str]:
    """Returns lines of Prometheus' text format. What has no job or instance is marked, lest it gets the page's own."""
    lines = []
    for one in series:
        value = one.held(age, since, began)
        if value is not None:
            bare = [key for key in ("job", "instance") if key not in one.labels]
            lines.append(one.line(value, ",".join(f'bare_{key}="1"' for key in bare)))
    return lines


def parse_series(text: str) -> tuple[str, dict[str, str]]:
    match = _SERIES.fullmatch(text)
    assert match, text
    labels = {}
    for key, quoted in _LABEL.findall(match["labels"] or ""):
        labels[key] = json.loads(quoted) if quoted.startswith('"') else quoted[1:-1]
    return match["name"] or labels.pop("__name__"), labels


def expand(text: str) -> tuple[float | None, ...]:
    """`1+2x3` is 1 3 5 7, `1x3` four times 1, `_x3` three times nothing; `stale` ends a series, so nothing too."""
    values: list[float | None] = []
    for word in text.split():
        match = _STEPS.fullmatch(word)
        if word in ("_", "stale"):
            values.append(None)
        elif match and match["first"] == "_":
            values += [None] * int(match["times"])
        elif match:
            first, step = float(match["first"]), float(match["step"] or 0)
            values += [first + step * index for index in range(int(match["times"]) + 1)]
        else:
            values.append(float(word))
    return tuple(values)


def seconds(text: str) -> float:
    """`1m30s`, as Prometheus writes durations."""
    parts = re.findall(r"([\d.]+)(ms|[dhms])", text)
    assert "".join(number + unit for number, unit in parts) == text, text
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def masked(text: str) -> str:
    """Without numbers: a moment later they are others. A duration is one number, however many units it has."""
    text = re.sub(r"[-+]?\d[\d.]*(?:e[-+]?\d+)?", "#", text)
    return re.sub(r"(?:#[dhm] )*#(?:ms|[dhms])\b", "#", text)
