"""The steps of a server's engines as the part inside vLLM reports them: exact, with several API servers too. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_exporter.facts.facts import EngineStep, ServerSteps

FRESH = 5.0  # seconds: all API servers report each quarter of a second, and are read each second


@dataclass(frozen=True)
class StepsMade:
    """Tells what is new since the report before."""

    newest: float | None = None  # monotonic seconds of the newest step; None: none was made
    slowest: float = (
        0.0  # seconds between two steps of an engine that had requests in between; at least its slowest one
    )


class StepClock:
    """The last step of each engine. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._known: ServerSteps | None = None
        self._forgiven = float("-inf")

    def saw(self, steps: ServerSteps) -> StepsMade:
        """Takes a report. The first one is no movement: when its steps were made says nothing about now. Steps made
        while nobody looked, or an API server was silent, are no slow one."""
        before, self._known = self._known, steps
        if before is None:
            return StepsMade()
        missed = steps.seen_until - before.seen_until > FRESH
        pairs = [(before.engines[name], now) for name, now in steps.engines.items() if name in before.engines]
        newer = [(old, new) for old, new in pairs if new.at > old.at]
        slowest = max((new.at - max(old.at, self._forgiven) for old, new in newer if old.work), default=0.0)
        return StepsMade(max((new.at for _, new in newer), default=None), 0.0 if missed else slowest)

    @property
    def known(self) -> bool:
        """True once there was a report."""
        return self._known is not None

    def fresh(self, now: float) -> bool:
        """True if no step of the last seconds can be missing from the report."""
        return self._known is not None and now - self._known.seen_until <= FRESH

    @property
    def until(self) -> float:
        """Returns the time of the report, for one that is `fresh`."""
        return self._known.seen_until if self._known else float("-inf")

    @property
    def work(self) -> bool:
        """True if an engine's last step left requests."""
        return self._known is not None and any(one.work for one in self._known.engines.values())

    def ages(self) -> dict[str, float]:
        """Returns the seconds from each engine's last step to the report; 0 for an engine without requests."""
        known = self._known
        return {} if known is None else {name: self._age(known, one) for name, one in known.engines.items()}

    def forgive(self, now: float) -> None:
        """Restarts the clocks after a time that was not the engines' fault, such as a pause."""
        self._forgiven = now

    def _age(self, known: ServerSteps, one: EngineStep) -> float:
        return max(0.0, known.seen_until - max(one.at, self._forgiven)) if one.work else 0.0
