"""What collectors tell each other by the board: immutable, whole, in base units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vllm_exporter.engine import EngineValues
from vllm_exporter.lineage import Ref
from vllm_exporter.progress import Health
from vllm_exporter.titles import Role


@dataclass(frozen=True)
class VllmProcess:
    """One of vLLM's processes that lives."""

    ref: Ref
    role: Role
    rank: str  # as in the title: 'DP0_TP1'; '' when it is the only one of its role
    server: str  # '' when its tree could not be joined to a target
    ppid: int
    state: str  # of the kernel: R, S, D, T, Z …
    orphan: bool = False
    resident: int = 0  # bytes
    cpu_seconds: float = 0.0
    container: str = ""  # name, else short id; '' outside containers


@dataclass(frozen=True)
class Trees:
    """All of vLLM's processes on this host, by pid. Posted by `processes`."""

    processes: Mapping[int, VllmProcess]


@dataclass(frozen=True)
class ServerSight:
    """What probes saw of one server last. None: not known."""

    health: Health
    ready: bool
    ready_age: float | None
    progress_age: float | None
    stalled: bool | None
    work: bool | None
    paused: bool | None
    sleeping: bool | None
    canary_ok: bool | None
    canary_failures: int
    values: EngineValues | None
    model_name: str = ""
    version: str = ""


@dataclass(frozen=True)
class Sights:
    """Every configured server, by its name. Posted by `probe`."""

    servers: Mapping[str, ServerSight]


@dataclass(frozen=True)
class GpuSight:
    """One GPU, or one MIG instance. None: the driver does not say."""

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
