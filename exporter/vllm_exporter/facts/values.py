"""Words and values that several subjects use: of processes, of health, of engines, of devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from vllm_exporter.state import count

Role = Literal["api_server", "engine_core", "worker", "coordinator"]
ROLES: tuple[Role, ...] = ("api_server", "engine_core", "worker", "coordinator")

# The ways in which a process ends.
ExitCause = Literal["clean", "error", "sigterm", "sigkill", "crash", "signal", "oom_kill", "unknown"]
CAUSES: tuple[ExitCause, ...] = ("clean", "error", "sigterm", "sigkill", "crash", "signal", "oom_kill", "unknown")

MOST_SHOWN = 128  # characters of a name that another program gives

Health = Literal["ok", "refused", "timeout", "503", "other"]  # the result of GET /health
HEALTH_RESULTS: tuple[Health, ...] = ("ok", "refused", "timeout", "503", "other")

# The distance between two devices of a host, from near to far, in the words of `nvidia-smi topo -m`: PIX (one PCIe
# switch at most), PXB (several), PHB (a PCIe host bridge), NODE (several host bridges of one NUMA node), SYS (between
# sockets).
LinkLevel = Literal["PIX", "PXB", "PHB", "NODE", "SYS"]
LEVELS: tuple[LinkLevel, ...] = ("PIX", "PXB", "PHB", "NODE", "SYS")


def shown(text: str) -> str:
    """Returns a name that another program gives, as labels and lines show it: in printable characters, and not long."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:MOST_SHOWN])


class Ref(NamedTuple):
    """A process that cannot be confused with a later one of the same id."""

    pid: int
    start: int  # clock ticks since boot

    def to_plain(self) -> list[int]:
        """Returns the form that is kept in a state file."""
        return [self.pid, self.start]

    @classmethod
    def from_plain(cls, value: object) -> Ref:
        """Reads the form of `to_plain`. Raises ValueError for anything else."""
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError(f"{value!r} is not a process id and a start time")
        return cls(count(value[0]), count(value[1]))


@dataclass(frozen=True)
class EngineValues:
    """One reading of vLLM's /metrics, of one engine or summed. None: not in this release, or not in this reading."""

    running: float | None
    waiting: float | None
    swapped: float | None = None
    kv_usage: float | None = None  # 0 to 1, of the fullest engine
    iterations: float | None = None  # engine steps that produced output
    preemptions: float | None = None
    prefix_queries: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    awake: bool | None = None  # False: at least one engine sleeps

    @property
    def work(self) -> bool:
        """True if requests run, wait or are swapped out."""
        return any((number or 0) > 0 for number in (self.running, self.waiting, self.swapped))
