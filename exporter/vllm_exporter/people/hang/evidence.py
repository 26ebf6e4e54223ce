"""The evidence about one server over a short time. Everything may be unknown: None, or empty. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from vllm_exporter.facts.values import EngineValues, Health
from vllm_exporter.subjects.server.canaries import CanaryResult
from vllm_exporter.subjects.server.engine import moved

LifeKind = Literal["starting", "running", "ending", "down"]


@dataclass(frozen=True)
class EngineLook:
    """One reading of /metrics, `at` seconds after the first."""

    at: float
    values: EngineValues


@dataclass(frozen=True)
class ProcessSight:
    """One process of the server."""

    pid: int
    role: str  # api_server, engine_core, worker, coordinator
    rank: str = ""
    state: str = ""  # of the kernel: R, S, D, T …
    cpu: float | None = None  # cores used while it was watched
    wchan: str = ""  # the function of the kernel it waits in; '' when it runs or may not be seen
    kernel: tuple[str, ...] = ()  # its stack in the kernel, innermost first; for root only
    python: tuple[str, ...] = ()  # frames of its threads as py-spy prints them, innermost first
    orphan: bool = False  # left behind: its API server, or engine, is gone

    @property
    def name(self) -> str:
        return f"{self.role.replace('_', ' ')}{' ' + self.rank if self.rank else ''} (pid {self.pid})"


@dataclass(frozen=True)
class Gpu:
    """One GPU of the server, or of its host."""

    gpu_id: str
    utilization: float | None = None  # 0 to 1
    memory: float | None = None  # used share, 0 to 1
    lost: bool = False


@dataclass(frozen=True)
class LifeState:
    """The lifecycle state in which the exporter sees the server."""

    name: str  # crash_loop
    seconds: float | None  # in it
    kind: LifeKind = "running"
    meaning: str = ""  # in words; '' when this release does not know the state
    action: str = ""  # what to do; '' when it is nothing


@dataclass(frozen=True)
class HangEvidence:
    """Everything that was seen of one server."""

    server: str
    health: Health
    samples: tuple[EngineLook, ...] = ()
    health_seconds: float = 0.0  # seconds that the answer to /health took, or was waited for
    problem: str = ""  # why /metrics could not be read
    paused: bool | None = None
    sleeping: bool | None = None
    engine_answers: bool | None = None  # to a deep probe; None: not offered (dev mode off)
    canary: CanaryResult | None = None  # None: not sent
    canary_seconds: float = 0.0
    progress_age: float | None = None  # seconds; from a running exporter, which watches the server all the time
    stall_limit: float | None = None  # seconds; from the exporter too
    state: LifeState | None = None  # from the exporter too
    processes: tuple[ProcessSight, ...] = ()
    orphans: int = 0  # of the server, as seen by this command or the exporter, whichever sees more
    gpus: tuple[Gpu, ...] = ()
    log: tuple[str, ...] = ()  # lines that hint at a cause, newest last

    @property
    def last(self) -> EngineValues | None:
        return self.samples[-1].values if self.samples else None

    @property
    def seconds(self) -> float:
        """Returns for how many seconds it was watched."""
        return self.samples[-1].at - self.samples[0].at if self.samples else 0.0

    @property
    def moved(self) -> bool:
        """True if a value that the engine pushes has changed."""
        return any(moved(one.values, two.values) for one, two in _pairs(self.samples))

    @property
    def produced(self) -> bool:
        """True if iterations or generated tokens grew; every release has one of the two."""
        return any(
            (two.values.iterations or 0) > (one.values.iterations or 0)
            or (two.values.generation_tokens or 0) > (one.values.generation_tokens or 0)
            for one, two in _pairs(self.samples)
        )

    @property
    def work(self) -> bool:
        """True if there are requests; an unanswered canary is one."""
        return (self.last is not None and self.last.work) or self.canary == "timeout"

    @property
    def still_seconds(self) -> float:
        """Seconds without a movement: as the exporter knows, at least the time watched; 0 if something moved."""
        return 0.0 if self.moved else max(self.seconds, self.progress_age or 0.0)

    @property
    def workers(self) -> tuple[ProcessSight, ...]:
        """Returns the processes that compute; where one process is engine and worker, the engine."""
        alive = tuple(one for one in self.processes if not one.orphan)
        found = tuple(one for one in alive if one.role == "worker")
        return found or tuple(one for one in alive if one.role == "engine_core")

    def rise(self, name: str) -> float:
        """Returns how much a value has grown while it was watched; 0 when this release does not have it."""
        values = [getattr(sample.values, name) for sample in self.samples]
        known = [value for value in values if value is not None]
        return known[-1] - known[0] if known else 0.0


def _pairs(samples: Sequence[EngineLook]) -> list[tuple[EngineLook, EngineLook]]:
    return list(pairwise(samples))
