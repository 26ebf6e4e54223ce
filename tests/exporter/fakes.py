"""What the exporter's tests put in place of the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vllm_exporter.clock import Clock
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.run.collector import Collector

SUBJECT = Family("vllm_test_subject", "gauge", "What the collectors of the tests collect.")


class FakeClock(Clock):
    """Stands still until a test moves it."""

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 1000.0) -> None:
        self.now_wall = wall
        self.now_monotonic = monotonic

    def wall(self) -> float:
        return self.now_wall

    def monotonic(self) -> float:
        return self.now_monotonic

    def advance(self, seconds: float) -> None:
        self.now_wall += seconds
        self.now_monotonic += seconds


class LogLines:
    """Keeps log lines instead of writing them."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def __call__(self, level: str, message: str, **facts: object) -> None:
        self.lines.append((level, message, facts))


def collector(collect: Callable[[], Iterator[Row]], **attributes: object) -> type[Collector]:
    """A collector class whose `collect` is the function given."""
    return type("Made", (Collector,), {"metrics": (SUBJECT,), "collect": lambda self: collect(), **attributes})


def yields(*values: float) -> Callable[[], Iterator[Row]]:
    """A `collect` that yields one value at its first run, the next at its second, and so on."""
    left = list(values)
    return lambda: iter([SUBJECT.sample(left.pop(0))])


def raises(error: Exception) -> Callable[[], Iterator[Row]]:
    """A `collect` that yields a sample and then raises."""

    def collect() -> Iterator[Row]:
        yield SUBJECT.sample(1)
        raise error

    return collect
