"""From timelines to figures: worst, median and spread, compared with the project's goals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.e2e.harness.timeline import Timeline

# The project's goals, in seconds: from fault to actuator call, and what a restart takes beyond vLLM's own start.
HARD_DOWN = 30.0
STALLED = 60.0
OVERHEAD = 15.0

GOALS = {
    "stall_under_load": STALLED,
    "stall_idle": STALLED,
    "engine_killed": HARD_DOWN,
    "api_server_killed": HARD_DOWN,
}
QUIET = ("overload", "slow_prefill")  # nothing may be restarted


@dataclass(frozen=True)
class Baseline:
    """The same fault without a healer."""

    seconds: float  # until it answered again, else how long it was observed
    recovered: bool

    @property
    def name(self) -> str:
        return "supervisord alone" if self.recovered else f"supervisord alone, not back after {self.seconds:.0f} s"


@dataclass(frozen=True)
class Figure:
    """One number with its repetitions; the value is the worst of them."""

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None  # at most, or at least
    baseline: float | None = None
    baseline_name: str = ""
    at_least: bool = False  # more is better

    @property
    def worst(self) -> float:
        return min(self.values) if self.at_least else max(self.values)

    @property
    def best(self) -> float:
        return max(self.values) if self.at_least else min(self.values)

    @property
    def ok(self) -> bool:
        if self.goal is None:
            return True
        return self.worst >= self.goal if self.at_least else self.worst <= self.goal

    def as_json(self) -> dict[str, object]:
        return {
            "value": round(self.worst, 2),
            "unit": self.unit,
            "goal": self.goal,
            "baseline": None if self.baseline is None else round(self.baseline, 2),
            "baseline_name": self.baseline_name,
            "ok": self.ok,
            "repetitions": len(self.values),
            "median": round(median(self.values), 2),
            "best": round(self.best, 2),
        }

    def words(self) -> str:
        goal = "" if self.goal is None else f", goal {self.goal:g}: {'met' if self.ok else 'MISSED'}"
        against = "" if self.baseline is None else f"; {self.baseline_name}: {self.baseline:.1f} {self.unit}"
        spread = f"median {median(self.values):.1f}, best {self.best:.1f}, {len(self.values)} runs"
        return f"{self.name}: worst {self.worst:.1f} {self.unit}, {spread}{goal}{against}"


def figures(measured: Mapping[str, tuple[Sequence[Timeline], Baseline | None]]) -> list[Figure]:
    """By scenario: its timelines and its baseline. A scenario without a single healed run has no figures."""
    found: list[Figure] = []
    for name, (timelines, baseline) in measured.items():
        found += _of_quiet(name, timelines) if name in QUIET else _of_fault(name, timelines, baseline)
    return found


def table(timelines: Iterable[Timeline]) -> str:
    """One line a run, in seconds from the fault."""
    head = f"{'scenario':<28}{'alert':>8}{'action':>8}{'verified':>10}{'own start':>11}{'overhead':>10}"
    return "\n".join([head, *map(_row, timelines)])


def _of_quiet(name: str, timelines: Sequence[Timeline]) -> list[Figure]:
    restarts = tuple(float(timeline.started is not None or timeline.spawned is not None) for timeline in timelines)
    return [Figure(f"{name}_restarts", "restarts", restarts, goal=0.0)] if restarts else []


def _of_fault(name: str, timelines: Sequence[Timeline], baseline: Baseline | None) -> list[Figure]:
    alert, action, verified, own, overhead = (
        _known(getattr(timeline, part) for timeline in timelines)
        for part in ("to_alert", "to_start", "to_verified", "own_start", "overhead")
    )
    seconds, words = (baseline.seconds, baseline.name) if baseline else (None, "")
    start = median(own) if own else None
    found = [
        Figure(f"{name}_to_alert_seconds", "s", alert),
        Figure(f"{name}_to_action_seconds", "s", action, GOALS.get(name), seconds, words),
        Figure(f"{name}_to_verified_seconds", "s", verified, None, seconds, words),
        Figure(f"{name}_overhead_seconds", "s", overhead, OVERHEAD, start, "vLLM's own start"),
    ]
    return [figure for figure in found if figure.values]


def _known(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def _row(timeline: Timeline) -> str:
    values = (timeline.to_alert, timeline.to_start, timeline.to_verified, timeline.own_start, timeline.overhead)
    widths = (8, 8, 10, 11, 10)
    cells = ("-" if value is None else f"{value:.1f}" for value in values)
    return f"{timeline.scenario:<28}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
