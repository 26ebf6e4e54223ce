"""Sorts what others told by the bus into evidence for each server. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.events import Event
from vllm_exporter.facts.values import ROLES, Role
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
        if event.kind == "xid":
            for server in _of_gpu(event, addresses):
                sorted_mail[server].faults[f"XID {event.fields.get('code', '')}".strip()] = at
            continue
        mail = sorted_mail.get(_server(event, addresses))
        if mail is not None and event.kind == "log":
            _sort_line(mail, event, addresses, at)
        elif mail is not None and event.kind == "exit":
            mail.exits.append(_exit(event, at))
    return sorted_mail


def _sort_line(mail: Mail, event: Event, addresses: Addresses, at: float) -> None:
    error = str(event.fields.get("class") or "")
    state = str(event.fields.get("state") or ("start_failed" if error in START_FAILED else ""))
    if state in ORDER:
        pid = _pid(event)
        owner = addresses.pids.get(pid) if pid is not None else None
        role = _role(event) or (owner.role if owner else None)
        rank = str(event.fields.get("rank") or (owner.rank if owner else ""))
        mail.marks.append(Mark(at, state, role, rank, pid))
    if event.severity in ("error", "critical") and error and not event.fields.get("wrapper"):
        mail.errors.append(error)
    if error in HOST_FAULTS:
        mail.faults[error] = at


def _exit(event: Event, at: float) -> Exit:
    code = event.fields.get("code")
    cause = str(event.fields.get("cause") or "unknown")
    return Exit(at, str(event.fields.get("role") or ""), _pid(event), cause, "" if code is None else str(code))


def _server(event: Event, addresses: Addresses) -> str:
    """As the event says; else by its process; else the only one there is."""
    if event.server:
        return event.server
    pid = _pid(event)
    owner = addresses.pids.get(pid) if pid is not None else None
    if owner is not None:
        return owner.server
    return addresses.servers[0] if len(addresses.servers) == 1 and event.kind == "log" else ""


def _of_gpu(event: Event, addresses: Addresses) -> list[str]:
    if event.severity != "critical":
        return []
    gpu = str(event.fields.get("gpu_id", ""))
    return [server for server in addresses.servers if gpu in addresses.gpus.get(server, ())]


def _pid(event: Event) -> int | None:
    pid = event.fields.get("pid")
    return pid if isinstance(pid, int) and not isinstance(pid, bool) else None


def _role(event: Event) -> Role | None:
    return next((role for role in ROLES if role == event.fields.get("role")), None)
