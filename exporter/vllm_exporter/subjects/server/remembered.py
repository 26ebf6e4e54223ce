"""Keeps what is known of a server until it goes down. Times are the monotonic clock's, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.engine import EngineAges
from vllm_exporter.subjects.server.gaps import Gaps
from vllm_exporter.subjects.server.incarnation import UNKNOWN, Identity
from vllm_exporter.subjects.server.steps import StepClock

NEVER = float("-inf")


@dataclass
class Remembered:
    """Everything that is remembered of a server until it goes down."""

    identity: Identity = UNKNOWN
    ready_at: float | None = None
    values: EngineValues | None = None
    read_at: float = 0.0  # of values
    progress_at: float = 0.0
    silent_from: float = 0.0  # when the silence may have begun: before progress_at if nobody looked then
    gaps: Gaps = field(default_factory=Gaps)  # between two movements, while it worked
    ages: EngineAges = field(default_factory=EngineAges)  # of each engine, by /metrics
    steps: StepClock = field(default_factory=StepClock)  # of each engine, by the part inside
    work: bool = False
    paused: bool | None = None
    held: bool = False  # asleep or paused
    pause_asked_at: float = NEVER

    def forgive(self, now: float) -> None:
        """Restarts each engine's clock after a time that was not its fault, such as a pause."""
        self.ages.forgive(now)
        self.steps.forgive(now)
