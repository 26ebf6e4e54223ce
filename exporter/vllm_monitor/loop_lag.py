"""How long an API server's event loop leaves a call waiting: a handler that blocks it stops every request at once."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Iterator
from time import monotonic

from vllm_monitor.series import Series

WINDOW = 10.0  # seconds over which the longest wait is shown: two scrapes at the usual interval


class LoopLag:
    """Asks the loop for a sign of life, and counts the seconds until it gives one."""

    def __init__(self, series: Series, loop: AbstractEventLoop) -> None:
        self._series = series
        self._loop = loop
        self._asked: float | None = None  # CLOCK_MONOTONIC of the question that is not answered yet
        self._waits: deque[tuple[float, float]] = deque()  # when, and how long

    def __call__(self, now: float) -> Iterator[None]:
        """Asks again if the last question was answered; the gauge is the longest wait of WINDOW, or the present one."""
        waiting = 0.0 if self._asked is None else max(0.0, now - self._asked)
        while self._waits and self._waits[0][0] < now - WINDOW:
            self._waits.popleft()
        longest = max((seconds for _, seconds in self._waits), default=0.0)
        self._series.set(self._series.place("max", "vllm_event_loop_lag_seconds"), max(waiting, longest))
        if self._asked is None and not self._loop.is_closed():
            self._asked = now
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # closed a moment ago
                self._asked = None
        yield

    def _answer(self) -> None:
        """Runs in the loop."""
        asked, self._asked = self._asked, None
        if asked is not None:
            now = monotonic()
            self._waits.append((now, max(0.0, now - asked)))
