"""What a vLLM server says of its engine: the values that the engine pushes, whatever the release calls them. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineValues:
    """One reading of /metrics, summed over engines. None: this release, or this reading, does not have it."""

    running: float
    waiting: float
    swapped: float | None = None
    kv_usage: float | None = None  # 0 to 1, of the fullest engine
    iterations: float | None = None  # engine steps that produced output
    preemptions: float | None = None
    prefix_queries: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    awake: bool | None = None  # False: at least one engine sleeps

    @property
    def work(self) -> bool:
        """Requests run, wait or are swapped out."""
        return self.running > 0 or self.waiting > 0 or (self.swapped or 0) > 0


GAUGES = ("running", "waiting", "swapped", "kv_usage")
COUNTERS = ("iterations", "preemptions", "prefix_queries", "prompt_tokens", "generation_tokens")


def moved(before: EngineValues, after: EngineValues) -> bool:
    """Whether the engine pushed something in between. A value that only one of the readings has proves nothing."""
    return any(new != old for old, new in _pairs(before, after, GAUGES + COUNTERS))


def restarted(before: EngineValues, after: EngineValues) -> bool:
    """Whether a counter went backwards: another process answers now."""
    return any(new < old for old, new in _pairs(before, after, COUNTERS))


def _pairs(before: EngineValues, after: EngineValues, names: tuple[str, ...]) -> list[tuple[float, float]]:
    values = ((getattr(before, name), getattr(after, name)) for name in names)
    return [(old, new) for old, new in values if old is not None and new is not None]
