"""The evidence about one server at one look, from logs, processes, probes and GPUs. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.facts.values import Ref, Role


@dataclass(frozen=True)
class Mark:
    """A log line that proves a state."""

    at: float
    state: str  # a name of states.py
    role: Role | None = None  # of the process that wrote it; None: the line does not say
    rank: str = ""  # 'DP0_TP1'
    pid: int | None = None

    @property
    def engine(self) -> str:
        """Returns the engine that the process belongs to: 'DP0', or '' when there is only one."""
        return next((part for part in self.rank.split("_") if part.startswith("DP")), "")


@dataclass(frozen=True)
class Exit:
    """The end of one of the server's processes."""

    at: float
    role: str
    pid: int | None
    cause: str
    code: str  # '' when unknown


@dataclass(frozen=True)
class Processes:
    """The server's living processes on this host. Orphans are counted apart, not among engines and workers."""

    api: tuple[Ref, ...] = ()  # the main one first: it is the server's identity
    engines: frozenset[str] = frozenset()  # ranks
    workers: frozenset[str] = frozenset()
    orphans: int = 0
    started: float | None = None  # when the oldest API server began


@dataclass(frozen=True)
class Evidence:
    """The evidence of one look. None: not known."""

    now: float
    marks: tuple[Mark, ...] = ()
    exits: tuple[Exit, ...] = ()
    errors: tuple[str, ...] = ()  # classes of log lines that report an error, oldest first
    processes: Processes | None = None
    sight: ServerSight | None = None
    bound: bool | None = None  # True if a socket that does not listen is bound to the server's port
    faults: frozenset[str] = field(default_factory=frozenset)  # what is wrong with its GPUs or its host


@dataclass(frozen=True)
class LifecycleLimits:
    """The thresholds, in seconds unless noted. Not tuned on GPUs."""

    quiet: float = 15.0  # without requests until it counts as idle: pauses between requests are no change of state
    saturated: float = 5.0  # with waiting requests: those of a burst wait for less
    suspect: float = 10.0  # with work and without progress
    thrash_window: float = 30.0
    thrash_share: float = 0.5  # preemptions in the window, as a share of the sequences that run
    thrash_least: int = 5  # preemptions
    loop_starts: int = 3  # failures that make a loop
    loop_gap: float = 3600.0  # between two failures of one loop: slow starts fail slowly
