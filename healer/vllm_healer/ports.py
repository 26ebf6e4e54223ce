"""The ports: what the pipeline needs of clock, promapi, amapi, probes, actuators and journal."""

from __future__ import annotations

from typing import Protocol

from vllm_healer.ledger import Ledger
from vllm_healer.model import Alert, Instant, Look, Plan, ProcessRef, Signals, SupervisorView, Target, TargetMemory


class Clock(Protocol):
    def now(self) -> Instant: ...

    def sleep(self, seconds: float) -> None: ...


class Memory(Protocol):
    """The journal, as far as decisions read it. Both methods raise JournalError."""

    def memory(self, server: str) -> TargetMemory: ...

    def ledger(self, plan: Plan) -> Ledger:
        """The ledger that `reserve` would show the guards of this plan."""
        ...


class Metrics(Protocol):
    """Prometheus. Both methods raise Blind when it does not answer or answers with an error."""

    def signals(self, server: str, more: frozenset[str]) -> Signals:
        """The samples of one server; `more` names the series that go into Signals.more."""
        ...

    def healthy(self, servers: frozenset[str], max_age: float) -> frozenset[str]:
        """The servers whose /health is ok and that are not stalled, by samples of at most `max_age` seconds."""
        ...


class ActiveAlerts(Protocol):
    """Alertmanager. Raises Blind when it does not answer."""

    def active(self, servers: frozenset[str] | None = None) -> tuple[Alert, ...]:
        """The alerts that have not ended: of these servers and the Watchdog, or (None) all."""
        ...


class Eyes(Protocol):
    """The healer's own probes."""

    def look(self, target: Target, canary: float) -> Look:
        """Looks at the target. `canary`: how many seconds its answer is waited for; 0 sends none. Never raises: what
        cannot be reached is what it sees."""
        ...


class Actuator(Protocol):
    """One way to act on a target, in small verbs; `Handle` makes them safe and remediations put them together.

    All but `observe` raise TemporaryError or PermanentError when it was not done.
    """

    def observe(self, target: Target) -> SupervisorView:
        """The supervisor's view of the target. Raises Blind when it does not answer."""
        ...

    def stop(self, target: Target, grace: float) -> None:
        """Tells the supervisor to end the server and not to start it by itself. It may be ending still on return.

        `grace`: seconds from SIGTERM to SIGKILL, where the supervisor takes orders about it.
        """
        ...

    def start(self, target: Target) -> None:
        """Tells the supervisor to start the server; that it runs already is no error."""
        ...

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        """Sends signal `number` to exactly these and what they started; returns those left after `wait` seconds."""
        ...

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        """The text that the server itself answers with a status of 2xx; `body` is sent as JSON, None as nothing."""
        ...
