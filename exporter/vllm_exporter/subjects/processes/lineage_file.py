"""Keeps the parentage of vLLM's processes in a file, so that a restart of the exporter forgets none of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vllm_exporter.facts.values import ROLES, Ref, Role
from vllm_exporter.state import replace_file
from vllm_exporter.subjects.processes.lineage import Record

VERSION = 1


@dataclass(frozen=True)
class Memory:
    """`servers` has every local server ever seen, with the roles of its processes, so that 0 can be said of it."""

    records: Mapping[Ref, Record] = field(default_factory=dict)
    servers: Mapping[str, tuple[Role, ...]] = field(default_factory=dict)
    mains: Mapping[str, Ref] = field(default_factory=dict)  # the API server of each server that restarts are counted by


def read_memory(path: Path, scope: str) -> Memory:
    """An empty one when there is no file. Raises ValueError when there is one that makes no sense.

    `scope` names the boot and the PID namespace: process ids of another one mean nothing here.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Memory()
    return parse_memory(text, scope)


def parse_memory(text: bytes, scope: str) -> Memory:
    """Raises ValueError saying what is wrong."""
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']!r}, expected {VERSION}")
        servers = {str(name): tuple(_role(role) for role in roles) for name, roles in data["servers"].items()}
        same = data["scope"] == scope
        records = [_record(item) for item in data["processes"]] if same else []
        mains = {str(name): _ref(ref) for name, ref in data.get("mains", {}).items()} if same else {}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return Memory({record.ref: record for record in records}, servers, mains)


def format_memory(memory: Memory, scope: str) -> bytes:
    processes = [
        {
            "pid": record.ref.pid,
            "start": record.ref.start,
            "role": record.role,
            "rank": record.rank,
            "server": record.server,
            "parent": None if record.parent is None else [record.parent.pid, record.parent.start],
        }
        for record in memory.records.values()
    ]
    mains = {server: [ref.pid, ref.start] for server, ref in memory.mains.items()}
    servers = dict(memory.servers)
    data = {"version": VERSION, "scope": scope, "servers": servers, "mains": mains, "processes": processes}
    return json.dumps(data, indent=1).encode() + b"\n"


def write_memory(path: Path, memory: Memory, scope: str) -> None:
    """Replaces the file as a whole. Raises OSError."""
    replace_file(path, format_memory(memory, scope))


def _record(item: Mapping[str, object]) -> Record:
    parent = item["parent"]
    return Record(
        ref=Ref(_int(item["pid"]), _int(item["start"])),
        role=_role(item["role"]),
        rank=str(item["rank"]),
        server=str(item["server"]),
        parent=None if parent is None else _ref(parent),
    )


def _ref(value: object) -> Ref:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{value!r} is not a process id and a start time")
    return Ref(_int(value[0]), _int(value[1]))


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _role(value: object) -> Role:
    for role in ROLES:
        if role == value:
            return role
    raise ValueError(f"unknown role {value!r}")
