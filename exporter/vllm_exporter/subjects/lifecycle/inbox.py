"""Sorts what others told by the bus into evidence for each server. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.events import Event, LineNoticed, ProcessExited, XidReported
from vllm_exporter.facts.values import Role
from vllm_exporter.subjects.lifecycle.evidence import Exit, Mark
from vllm_exporter.subjects.lifecycle.states import ORDER

START_FAILED = ("engine.start_failed", "engine.init_failed", "worker.start_failed")  # classes of log lines
HOST_FAULTS = ("gpu.bus", "cuda.ecc")  # classes of log lines after which no restart helps
FAULT_SECONDS = 3600.0  # a fatal XID explains what goes wrong within the hour


@dataclass(frozen=True)
class Owner:
    """Whose process a pid is."""

    server: str
    role: Role
    rank: str


@dataclass
class Mail:
    """For one server, in the order of the events."""

    marks: list[Mark] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    faults: dict[str, float] = field(default_factory=dict)  # what, and when


@dataclass(frozen=True)
class Addresses:
    """Who is who: to whom an event without a server belongs."""

    servers: tuple[str, ...]
    pids: Mapping[int, Owner]
    gpus: Mapping[str, frozenset[str]]  # the GPUs that each server's processes used


def sort(events: Iterable[Event], addresses: Addresses, offset: float) -> dict[str, Mail]:
    """By server. `offset` is Unix time minus monotonic time, now. What concerns none of the servers is left out."""
    sorted_mail = {server: Mail() for server in addresses.servers}
    for event in events:
        at = event.time - offset
        if isinstance(event, XidReported):
            for server in _of_gpu(event, addresses):
                sorted_mail[server].faults[f"XID {event.xid}"] = at
        elif isinstance(event, LineNoticed) and (mail := sorted_mail.get(_server(event, addresses))):
            _sort_line(mail, event, addresses, at)
        elif isinstance(event, ProcessExited) and (mail := sorted_mail.get(event.server)):
            code = "" if event.code is None else str(event.code)
            mail.exits.append(Exit(at, event.role, event.pid, event.cause, code))
    return sorted_mail


def _sort_line(mail: Mail, event: LineNoticed, addresses: Addresses, at: float) -> None:
    error = event.class_
    state = event.state or ("start_failed" if error in START_FAILED else "")
    if state in ORDER:
        owner = _owner(event, addresses)
        role, rank = event.role or (owner.role if owner else None), event.rank or (owner.rank if owner else "")
        mail.marks.append(Mark(at, state, role, rank, event.pid))
    if event.severity in ("error", "critical") and not event.wrapper:
        mail.errors.append(error)
    if error in HOST_FAULTS:
        mail.faults[error] = at


def _server(event: LineNoticed, addresses: Addresses) -> str:
    """As the event says; else by its process; else the only one there is."""
    if event.server:
        return event.server
    owner = _owner(event, addresses)
    if owner is not None:
        return owner.server
    return addresses.servers[0] if len(addresses.servers) == 1 else ""


def _owner(event: LineNoticed, addresses: Addresses) -> Owner | None:
    return addresses.pids.get(event.pid) if event.pid is not None else None


def _of_gpu(event: XidReported, addresses: Addresses) -> list[str]:
    if event.severity != "critical":
        return []
    return [server for server in addresses.servers if event.gpu_id in addresses.gpus.get(server, ())]
