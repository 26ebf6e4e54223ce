"""Decides whether a server that makes progress is idle, serves, is saturated or thrashes. Pure."""

from __future__ import annotations

from collections import deque
from typing import Literal

from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.lifecycle.evidence import LifecycleLimits

Traffic = Literal["idle", "serving", "saturated", "thrashing"]

BUSY: tuple[Traffic, ...] = ("serving", "saturated", "thrashing")
CANARY_STEPS = 2  # engine steps in one look that our own canary alone may have made


class TrafficMeter:
    """Remembers just enough of the last looks. While /metrics is silent the last answer holds."""

    def __init__(self, limits: LifecycleLimits, busy: bool = False) -> None:
        """`busy`: it starts as busy; it becomes idle only after the usual quiet time."""
        self._limits = limits
        self._was_busy = busy
        self._last: EngineValues | None = None
        self._busy_at: float | None = None
        self._waiting_since: float | None = None
        self._unqueued_at = 0.0
        self._preempted: deque[tuple[float, float]] = deque()  # time, number of preemptions since the look before
        self.moved = False  # the engine made steps, or pushed tokens, since the look before

    def look(self, now: float, values: EngineValues | None) -> Traffic:
        self.moved = False
        if self._was_busy:
            self._busy_at, self._was_busy = now, False
        if values is not None:
            self._take(now, values)
        if self._thrashes(now):
            return "thrashing"
        if self._waiting_since is not None and now - self._waiting_since >= self._limits.saturated:
            return "saturated"
        busy = self._busy_at is not None and now - self._busy_at < self._limits.quiet
        return "serving" if busy else "idle"

    def rest(self) -> None:
        """Forgets waiting requests and preemptions: while the engine is held they say nothing about its load."""
        self._waiting_since = None
        self._preempted.clear()

    def _take(self, now: float, values: EngineValues) -> None:
        last = self._last or values
        steps = _grown(last.iterations, values.iterations)
        tokens = _grown(last.generation_tokens, values.generation_tokens)
        self.moved = steps > 0 or tokens > 0
        lasting = values.work and self._last is not None and last.work  # one look may have met a canary
        if lasting or steps > CANARY_STEPS:
            self._busy_at = now
        self._take_waiting(now, values)
        preempted = _grown(last.preemptions, values.preemptions)
        if preempted:
            self._preempted.append((now, preempted))
        self._last = values

    def _take_waiting(self, now: float, values: EngineValues) -> None:
        """Times a queue: it begins with the first look at which a request waits, and ends after as long without one."""
        if values.waiting:
            self._unqueued_at = now
            if self._waiting_since is None:
                self._waiting_since = now
        elif self._waiting_since is not None and now - self._unqueued_at >= self._limits.saturated:
            self._waiting_since = None
        elif self._waiting_since is not None and now - self._waiting_since < self._limits.saturated:
            self._waiting_since = None  # it was a burst

    def _thrashes(self, now: float) -> bool:
        while self._preempted and now - self._preempted[0][0] > self._limits.thrash_window:
            self._preempted.popleft()
        if self._last is None or not self._last.work:
            self._preempted.clear()
            return False
        total = sum(count for _, count in self._preempted)
        running = self._last.running or 0
        return total >= max(self._limits.thrash_least, self._limits.thrash_share * running)


def _grown(before: float | None, after: float | None) -> float:
    """Returns the growth of a counter; 0 when it is unknown or began anew."""
    return max(0.0, after - before) if before is not None and after is not None else 0.0
