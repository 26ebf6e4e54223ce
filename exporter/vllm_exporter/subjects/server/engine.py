"""The values that a vLLM server's engines push, whatever the release calls them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vllm_exporter.facts.values import EngineValues


@dataclass(frozen=True)
class EngineReading:
    """One reading of /metrics: all engines together, and each by its label ("0" where the release has none)."""

    values: EngineValues
    engines: Mapping[str, EngineValues]
    blocks: Mapping[str, Blocks]  # the KV block table of each engine; empty where its size is not reported
    started: float | None = None  # Unix time at which the API server's process began; several API servers report none
    failed: float | None = None  # requests answered with 5xx since then; None: not counted


@dataclass(frozen=True)
class Blocks:
    """An engine's KV cache in blocks."""

    total: int  # as vLLM reports; V1 reserves one of them, which is neither used nor free
    used: int
    free: int


GAUGES = ("running", "waiting", "swapped", "kv_usage")
COUNTERS = ("iterations", "preemptions", "prefix_queries", "prompt_tokens", "generation_tokens")


def moved(before: EngineValues, after: EngineValues) -> bool:
    """True if the engine pushed something in between. A value that only one of the readings has proves nothing."""
    return before is not after and any(new != old for old, new in _pairs(before, after, GAUGES + COUNTERS))


def restarted(before: EngineValues, after: EngineValues) -> bool:
    """True if a counter went backwards: another process answers now."""
    return before is not after and any(new < old for old, new in _pairs(before, after, COUNTERS))


def count_blocks(total: int, usage: float, own: int) -> Blocks:
    """Computes the blocks from the share in use, which does not count the `own` blocks that the engine reserves."""
    usable = max(0, total - own)
    used = min(usable, max(0, round(usage * usable)))
    return Blocks(total, used, usable - used)


class EngineAges:
    """Measures the time of each engine without a movement while it had work of its own. Times are monotonic seconds.

    It sees one engine hang beside others that move, which the sums cannot show.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def saw(self, now: float, engines: Mapping[str, EngineValues]) -> None:
        """Takes a reading. An idle engine's clock stands still: it starts when work appears."""
        self._seen = {name: self._next(self._seen.get(name), now, values) for name, values in engines.items()}

    def ages(self) -> dict[str, float]:
        """Returns the seconds since the last movement, as of the last reading; 0 for an engine without work."""
        return {name: seen.read_at - seen.moved_at if seen.values.work else 0.0 for name, seen in self._seen.items()}

    def forgive(self, now: float) -> None:
        """Restarts all clocks after a time that was not the engines' fault, such as a pause."""
        self._seen = {name: _Seen(seen.values, now, now) for name, seen in self._seen.items()}

    def _next(self, old: _Seen | None, now: float, values: EngineValues) -> _Seen:
        if old is None or moved(old.values, values) or not values.work:
            return _Seen(values, now, now)
        return _Seen(values, now, old.moved_at)


@dataclass(frozen=True)
class _Seen:
    values: EngineValues
    read_at: float
    moved_at: float


MAX_KNOWN = 512  # engines of one server whose traffic is remembered: twice as many as a page may have


class BlockTraffic:
    """Counts KV blocks taken and given back by each engine, from readings of how many are in use.

    The counts are lower bounds: a block taken and given back between two readings is not seen.
    """

    def __init__(self) -> None:
        self.allocated: dict[str, int] = {}
        self.released: dict[str, int] = {}
        self._used: Mapping[str, Blocks] = {}

    def saw(self, blocks: Mapping[str, Blocks]) -> None:
        for engine, now in blocks.items():
            before = self._used.get(engine)
            change = now.used - before.used if before is not None else 0
            self.allocated[engine] = self.allocated.get(engine, 0) + max(0, change)
            self.released[engine] = self.released.get(engine, 0) + max(0, -change)
        self._used = blocks
        if len(self.allocated) > MAX_KNOWN:
            self._forget(blocks.keys())

    def _forget(self, present: Collection[str]) -> None:
        """Forgets engines that are not there: a server may name others each time."""
        self.allocated = {engine: count for engine, count in self.allocated.items() if engine in present}
        self.released = {engine: count for engine, count in self.released.items() if engine in present}

    def restart(self) -> None:
        """Begins with another process: the blocks of the one before were not given back, they are gone."""
        self._used = {}


def _pairs(before: EngineValues, after: EngineValues, names: tuple[str, ...]) -> list[tuple[float, float]]:
    values = ((getattr(before, name), getattr(after, name)) for name in names)
    return [(old, new) for old, new in values if old is not None and new is not None]
