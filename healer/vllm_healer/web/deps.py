"""The parts of the healer that the web side needs, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vllm_healer.config import Config
from vllm_healer.journal import Entry, Recorded
from vllm_healer.ledger import Approval, Consent
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import Alert, Incident, Instant
from vllm_healer.ports import Clock
from vllm_healer.web.auth import Right


class WebJournal(Protocol):
    """The journal, as far as the web side needs it. All methods raise JournalError."""

    def record_alerts(self, heard: Sequence[Alert], now: Instant) -> Recorded:
        """Records alerts; what is stored is on the disk when it returns."""
        ...

    def check_writable(self) -> None: ...

    def paused(self) -> str: ...

    def pause(self, words: str, now: Instant) -> None: ...

    def resume(self, words: str, now: Instant) -> None: ...

    def answer(self, request: int, given: Consent, words: str, now: Instant) -> None:
        """Writes a person's answer. Raises NotWaiting when there is nothing to answer."""
        ...

    def maintain(self, about: str, seconds: float, words: str, now: Instant) -> None: ...

    def waiting_approvals(self, now: Instant) -> tuple[Approval, ...]: ...

    def open_incidents(self) -> tuple[Incident, ...]: ...

    def history(self, limit: int) -> tuple[Entry, ...]: ...


class WebWorker(Protocol):
    def wake(self) -> None:
        """Says that there is something new in the journal. Returns at once."""
        ...

    def alive(self) -> bool: ...


@dataclass(frozen=True)
class WebDeps:
    """Everything that a request may touch."""

    config: Config
    journal: WebJournal
    worker: WebWorker
    clock: Clock
    metrics: HealerMetrics
    tokens: Callable[[Right], tuple[str, ...]] = field(repr=False)  # those that have the right; raises ConfigError
