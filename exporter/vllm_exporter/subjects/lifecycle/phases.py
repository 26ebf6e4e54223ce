"""Measures how long the parts of the last start took. Pure; seconds."""

from __future__ import annotations

from vllm_exporter.subjects.lifecycle.states import STARTING

TOTAL = "total"  # from the process to the first good /health
PHASES: tuple[str, ...] = (*STARTING, "listening", TOTAL)


class Phases:
    """Time in each state of a start, named by the state; `listening` is the time until the first computed answer."""

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})
        self._began: float | None = None

    def begin(self, at: float) -> None:
        """Begins a new start, and drops the times of the one before."""
        self.seconds = {}
        self._began = at

    def leave(self, state: str, since: float, at: float) -> None:
        """Adds a phase, if the start was seen from its beginning: half a phase is no duration."""
        if self._began is None or state not in PHASES:
            return
        self.seconds[state] = self.seconds.get(state, 0.0) + max(0.0, at - since)

    def ready(self, at: float) -> None:
        if self._began is not None and TOTAL not in self.seconds:
            self.seconds[TOTAL] = max(0.0, at - self._began)
