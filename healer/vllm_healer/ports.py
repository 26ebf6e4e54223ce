"""What the pipeline needs of the world. Implementations: clock, promapi, amapi, probes, actuators, journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vllm_healer.model import (
    Alert,
    Instant,
    Ledger,
    Look,
    Plan,
    Result,
    Signals,
    SupervisorView,
    Target,
    TargetMemory,
)


class Clock(Protocol):
    def now(self) -> Instant: ...

    def sleep(self, seconds: float) -> None: ...


class Memory(Protocol):
    """The journal, as far as decisions read it. Both raise JournalError."""

    def memory(self, server: str) -> TargetMemory: ...

    def ledger(self, plan: Plan) -> Ledger:
        """What `reserve` would show the guards of this plan."""
        ...


class Metrics(Protocol):
    """Prometheus. Both raise Blind when it does not answer or answers with an error."""

    def signals(self, server: str) -> Signals: ...

    def healthy(self, servers: frozenset[str], max_age: float) -> frozenset[str]:
        """Those of `servers` whose /health is ok and that are not stalled, by samples of at most `max_age` seconds."""
        ...


class ActiveAlerts(Protocol):
    """Alertmanager. Raises Blind when it does not answer."""

    def active(self) -> tuple[Alert, ...]:
        """All alerts that are active, not silenced, not inhibited."""
        ...


class Eyes(Protocol):
    """The healer's own probes."""

    def look(self, target: Target, canary: float) -> Look:
        """`canary`: how many seconds its answer is waited for; 0 sends none. Never raises: what cannot be reached is
        what it sees."""
        ...


class Actuator(Protocol):
    """One way to act on a target. Every destructive method re-reads the incarnation just before acting."""

    def view(self, target: Target) -> SupervisorView:
        """Raises Blind when the supervisor does not answer."""
        ...

    def restart(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        """Converges to: running, with an incarnation other than the given one, and nothing left of that one's tree.

        May be called again after a crash at any point: what is done already is not done twice. `step(name)` journals a
        step before it is taken. Raises TemporaryError or PermanentError.
        """
        ...

    def reap(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        """Removes the orphans of the target, and only those."""
        ...
