"""Facts that collectors share through the board: immutable, whole, in base units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.values import EngineValues, Health, LinkLevel, Ref, Role


@dataclass(frozen=True)
class VllmProcess:
    """One of vLLM's living processes."""

    ref: Ref
    role: Role
    rank: str  # as in the title: 'DP0_TP1'; '' when it is the only one of its role
    server: str  # '' when its tree could not be joined to a target
    ppid: int
    state: str  # of the kernel: R, S, D, T, Z …
    orphan: bool = False
    main: bool = False  # the server's first API server, parent of its others; it identifies the server
    resident: int = 0  # bytes
    cpu_seconds: float = 0.0
    container: str = ""  # name, else short id; '' outside containers


@dataclass(frozen=True)
class Trees:
    """All of vLLM's processes on this host, by pid. Posted by `processes`."""

    processes: Mapping[int, VllmProcess]

    def mains(self) -> dict[str, VllmProcess]:
        """Returns the main process of each server that has one, by the server's name."""
        return {one.server: one for one in self.processes.values() if one.main and one.server}


@dataclass(frozen=True)
class ServerSight:
    """The last results of the probes of one server. None: not known, so its series is absent."""

    health: Health | None = None  # of the last probe; None: not probed yet
    ready_age: float | None = None  # seconds since it became ready
    progress_age: float | None = None  # seconds
    work: bool | None = None
    stall_limit: float | None = None  # seconds
    stalled: bool | None = None
    paused: bool | None = None
    sleeping: bool | None = None
    engine_ages: Mapping[str, float] = field(default_factory=dict)  # engine to seconds without progress, with work
    canary_ok: bool | None = None  # None: none finished since it came up, or it takes none
    canary_failures: int = 0  # in a row
    canary_seconds: float | None = None  # of the last one that finished
    canary_first_token: float | None = None  # seconds
    values: EngineValues | None = None  # of the last look only
    problem: str = ""  # why /metrics could not be read
    model_name: str = ""
    version: str = ""
    blocks_used: int | None = None  # of the KV cache, all engines
    blocks_total: int | None = None


@dataclass(frozen=True)
class Sights:
    """Every configured server, by its name. Posted by `probe`."""

    servers: Mapping[str, ServerSight]


@dataclass(frozen=True)
class GpuSight:
    """One GPU, or one MIG instance. None: the driver does not report it."""

    gpu_id: str
    uuid: str
    name: str
    lost: bool = False
    utilization: float | None = None  # 0 to 1
    memory_used: int | None = None  # bytes
    memory_total: int | None = None
    temperature: float | None = None  # °C
    pci_address: str = ""  # as sysfs has it: 0000:17:00.0
    pids: Mapping[int, int] | None = None  # pid to bytes of memory


@dataclass(frozen=True)
class Gpus:
    """All GPUs of this host. Posted by `gpu`."""

    gpus: tuple[GpuSight, ...]


@dataclass(frozen=True)
class Lifecycles:
    """The lifecycle state of every server, by its name: state and seconds in it. Posted by `lifecycle`."""

    states: Mapping[str, tuple[str, float]]


@dataclass(frozen=True)
class RankSteps:
    """The model steps of one process since it started, as it counts them. None: it does not measure this."""

    server: str
    rank: str  # as in the title
    pid: int  # in the process's own PID namespace
    steps: float
    seconds: float  # in all of them
    compute: float | None = None  # seconds of these in the model
    sync: float | None = None  # seconds of these in waiting for other ranks


@dataclass(frozen=True)
class Steps:
    """The steps of every process that counts them. Posted by `inside`."""

    ranks: tuple[RankSteps, ...]


@dataclass(frozen=True)
class EngineStep:
    """The last step of one engine, in monotonic seconds, and whether it left requests that ran or waited."""

    at: float
    work: bool


@dataclass(frozen=True)
class ServerSteps:
    """The last step of each engine of a server, by the engine's label, as all its API servers together know it."""

    seen_until: float  # monotonic seconds: a step after this may not be known yet
    engines: Mapping[str, EngineStep]


@dataclass(frozen=True)
class EngineSteps:
    """The steps of each server with the part inside, by the server's name. Posted by `inside`."""

    servers: Mapping[str, ServerSteps]


@dataclass(frozen=True)
class GpuLink:
    """The connection of two GPUs, as the driver reports it. None: not reported."""

    gpu_id: str
    peer: str
    linked: bool | None  # they reach each other by NVLink, through switches too
    nvlinks: int | None  # number of these links, 0 when they do not
    level: LinkLevel | None = None  # over PCIe


@dataclass(frozen=True)
class GpuLinks:
    """Every pair of whole GPUs that answer, each once. Posted by `gpu`."""

    links: tuple[GpuLink, ...]
