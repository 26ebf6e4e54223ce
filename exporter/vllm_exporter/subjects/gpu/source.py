"""The interface of the `gpu` collector to a driver's library, whoever made the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vllm_exporter.facts.facts import GpuLink
from vllm_exporter.metrics.family import Row


@dataclass(frozen=True)
class GpuProcess:
    """One process that computes on one GPU or MIG instance. None: the driver does not report it."""

    gpu_id: str
    pid: int  # as the host sees it
    memory: int | None  # bytes
    sm: float | None  # share of time with a kernel running, 0 to 1


@dataclass(frozen=True)
class Card:
    """The identity of a GPU or a MIG instance."""

    gpu_id: str
    uuid: str
    name: str
    pci_address: str  # as sysfs has it: 0000:17:00.0
    lost: bool = False


@dataclass(frozen=True)
class GpuSnapshot:
    """The result of a reading. The reading thread replaces it as a whole; times are monotonic seconds."""

    cards: tuple[Card, ...] = ()
    fast: Sequence[Row] = ()
    slow: Sequence[Row] = ()
    processes: tuple[GpuProcess, ...] = ()
    at: float = 0.0  # when `fast` was read
    slow_at: float = 0.0
    fast_seconds: float = 0.0  # duration of the readings
    slow_seconds: float = 0.0
    links: tuple[GpuLink, ...] | None = None  # between whole GPUs; None: not read. The same object while none changes


@dataclass
class CallFailures:
    """Failed calls by (function, code in words). Only the reading thread writes it."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    total: int = 0

    def add(self, function: str, code: str) -> None:
        self.total += 1
        self.counts[function, code] = self.counts.get((function, code), 0) + 1


class GpuSource(Protocol):
    """A driver's library. `read` may take long and runs in a thread of its own; any thread reads the results."""

    failures: CallFailures

    @property
    def snapshot(self) -> GpuSnapshot | None:
        """Returns the newest; None before the first reading and while the library is closed."""
        ...

    @property
    def missing(self) -> tuple[Card, ...]:
        """Returns the GPUs that are there when none of them answers and the library is closed; else ()."""
        ...

    @property
    def closed_because(self) -> str:
        """Returns why there is no snapshot; '' when there is one, and while the library is being closed."""
        ...

    def read(self) -> None:
        """Runs one cycle: opens the library when that is due, reads, and replaces the snapshot."""
        ...

    def release(self) -> None:
        """Makes the next cycle release the driver, so that a GPU can be reset."""
        ...

    def reopen(self) -> None:
        """Ends a release."""
        ...

    def close(self) -> None: ...
