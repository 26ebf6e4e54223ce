"""Sorts events of the bus into evidence for each server. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.events import Event, LineNoticed, ProcessExited, XidReported
from vllm_exporter.facts.values import Role
from vllm_exporter.subjects.lifecycle.evidence import Exit, Mark
from vllm_exporter.subjects.lifecycle.states import ORDER

START_FAILED = ("engine.start_failed", "engine.init_failed", "worker.start_failed")  # classes of log lines
HOST_FAULTS = ("gpu.bus", "cuda.ecc")  # classes of log lines after which no restart helps
FAULT_SECONDS = 3600.0  # a fatal XID explains failures within the hour


@dataclass(frozen=True)
class Owner:
    """The server, role and rank of a process."""

    server: str
    role: Role
    rank: str


@dataclass
class ServerNews:
    """New evidence for one server, in the order of the events."""

    marks: list[Mark] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    faults: dict[str, float] = field(default_factory=dict)  # fault to its time


@dataclass(frozen=True)
class Owners:
    """The processes and GPUs of the servers: they show to which an event without a server belongs."""

    servers: tuple[str, ...]
    pids: Mapping[int, Owner]
    gpus: Mapping[str, frozenset[str]]  # the GPUs that each server's processes used


def sort(events: Iterable[Event], owners: Owners, offset: float) -> dict[str, ServerNews]:
    """Returns the evidence by server, without events of no server. `offset` is Unix time minus monotonic time, now."""
    sorted_news = {server: ServerNews() for server in owners.servers}
    for event in events:
        at = event.time - offset
        if isinstance(event, XidReported):
            for server in _of_gpu(event, owners):
                sorted_news[server].faults[f"XID {event.xid}"] = at
        elif isinstance(event, LineNoticed) and (news := sorted_news.get(_server(event, owners))):
            _sort_line(news, event, owners, at)
        elif isinstance(event, ProcessExited) and (news := sorted_news.get(event.server)):
            code = "" if event.code is None else str(event.code)
            news.exits.append(Exit(at, event.role, event.pid, event.cause, code))
    return sorted_news


def _sort_line(news: ServerNews, event: LineNoticed, owners: Owners, at: float) -> None:
    error = event.class_
    state = event.state or ("start_failed" if error in START_FAILED else "")
    if state in ORDER:
        owner = _owner(event, owners)
        role, rank = event.role or (owner.role if owner else None), event.rank or (owner.rank if owner else "")
        news.marks.append(Mark(at, state, role, rank, event.pid))
    if event.severity in ("error", "critical") and not event.wrapper:
        news.errors.append(error)
    if error in HOST_FAULTS:
        news.faults[error] = at


def _server(event: LineNoticed, owners: Owners) -> str:
    """Returns the server that the event names; else that of its process; else the only one there is."""
    if event.server:
        return event.server
    owner = _owner(event, owners)
    if owner is not None:
        return owner.server
    return owners.servers[0] if len(owners.servers) == 1 else ""


def _owner(event: LineNoticed, owners: Owners) -> Owner | None:
    return owners.pids.get(event.pid) if event.pid is not None else None


def _of_gpu(event: XidReported, owners: Owners) -> list[str]:
    if event.severity != "critical":
        return []
    return [server for server in owners.servers if event.gpu_id in owners.gpus.get(server, ())]
