"""Works out who started whom among vLLM's processes, and which of them were left behind. Pure.

A parent id of 1 does not make an orphan: vLLM itself may be process 1 of a container. An orphan is an engine core or a
worker whose recorded parent is gone and whose present parent could not own it, and each one below it: the workers hold
the GPUs' memory. Unknown parentage is not an orphan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from vllm_exporter.facts.values import Ref, Role
from vllm_exporter.subjects.processes.titles import Title

ROOT = 0
LEFT: tuple[Role, ...] = ("engine_core", "worker")  # may be left behind, from the upper to the lower


@dataclass(frozen=True)
class Process:
    """A living process, as just read. Zombies are not among them."""

    ref: Ref
    ppid: int  # 0: the parent is outside this PID namespace
    title: Title
    threads: int = 1
    cpu_ticks: int = 0
    resident: int = 0  # bytes
    state: str = "S"  # of the kernel: R, S, D, T …
    kernel: bool = False  # a thread of the kernel


Living = Mapping[int, Process]  # by pid


@dataclass(frozen=True)
class Record:
    """Everything that is remembered of one of vLLM's processes for as long as it lives."""

    ref: Ref
    role: Role
    rank: str
    server: str  # '' when its tree could not be joined to a target
    parent: Ref | None  # when first seen; None: unknown, it may have been left behind before


Records = Mapping[Ref, Record]


def choose_role(process: Process, living: Living) -> Role | None:
    """Returns the role. A `vllm serve` below another is a fork that is not renamed: an engine, or below it a worker."""
    title = process.title
    if title.renamed or title.role is None:
        return title.role
    depth = 0
    parent = living.get(process.ppid)
    while parent is not None and parent.title.role == "api_server" and not parent.title.renamed and depth < 2:
        depth += 1
        parent = living.get(parent.ppid)
    forks: tuple[Role, Role, Role] = ("api_server", "engine_core", "worker")
    return forks[depth]


def find_hosts(living: Living) -> set[Ref]:
    """Returns programs of any name with an engine of vLLM below them, such as KServe's huggingfaceserver."""
    engines = (one for one in living.values() if one.title.role == "engine_core" and one.title.renamed)
    parents = (living.get(engine.ppid) for engine in engines)
    return {one.ref for one in parents if one is not None and one.title.role is None and one.title.owner}


def choose_rank(process: Process, living: Living, old: Record | None) -> str:
    """Returns the rank in the title; a worker without a DP rank gets that of its engine, one of several.

    The engines of a dense model are independent: their workers are all called `VLLM::Worker`. A worker that has lost
    its engine keeps its rank.
    """
    rank = process.title.rank
    if process.title.role != "worker" or rank.startswith("DP"):
        return rank
    parent = living.get(process.ppid)
    if parent is None or parent.title.role != "engine_core":
        return old.rank if old is not None else rank
    if not parent.title.rank.startswith("DP"):
        return rank
    return f"{parent.title.rank}_{rank}" if rank else parent.title.rank


def remember(records: Records, living: Living, servers: Mapping[Ref, str]) -> dict[Ref, Record]:
    """Returns the records of living processes. Old ones keep their parent, and their server without its API server too.

    `servers` names the server of each process that could be joined to a target: an API server, whatever its title.
    """
    kept: dict[Ref, Record] = {}
    for process in living.values():
        role = choose_role(process, living) or ("api_server" if process.ref in servers else None)
        if role is None:
            continue
        server = _server(process, living, servers)
        old = records.get(process.ref)
        rank = choose_rank(process, living, old)
        if old is None:
            kept[process.ref] = Record(process.ref, role, rank, server, _parent(process, living))
        else:
            role = role if process.title.renamed else old.role  # a fork that lost its parent looks like a server
            kept[process.ref] = replace(old, role=role, rank=rank, server=server or old.server)
    return kept


def without_strangers(
    records: Records, users: Mapping[Ref, int | None], servers: Mapping[str, int]
) -> dict[Ref, Record]:
    """Returns the records; one of another user than its server's belongs to no server. `servers` are known users.

    What seems to be root's may be anybody's whose program has capabilities: the kernel then gives its files in /proc to
    root. A stranger cannot seem to be root.
    """

    def strange(record: Record) -> bool:
        user, owner = users.get(record.ref), servers.get(record.server)
        return user is not None and owner is not None and user not in (owner, ROOT)

    return {ref: replace(record, server="") if strange(record) else record for ref, record in records.items()}


def choose_shown(records: Records, most: int) -> dict[Ref, Record]:
    """Returns at most so many: first those of a server, then the oldest. Anybody may start a process with any title."""
    if len(records) <= most:
        return dict(records)
    order = sorted(records.values(), key=lambda record: (not record.server, record.ref.start, record.ref.pid))
    return {record.ref: record for record in order[:most]}


def choose_mains(records: Records, mains: Mapping[str, Ref]) -> dict[str, Ref]:
    """Returns the first API server of each server, parent of its others: another one in its place is a restart.

    `mains` are those of the last call. One that is gone is kept until there is another.
    """
    servers = {ref for ref, record in records.items() if record.role == "api_server"} | set(mains.values())
    found: dict[str, Ref] = {}
    for ref, record in records.items():
        first = record.role == "api_server" and record.parent not in servers and record.server
        if first and (record.server not in found or ref.start > found[record.server].start):
            found[record.server] = ref
    return {**found, **{server: ref for server, ref in mains.items() if server not in found or ref in records}}


def choose_orphans(records: Records, living: Living) -> tuple[Record, ...]:
    roots = {record.ref for record in records.values() if _is_root(record, living)}
    return tuple(record for record in records.values() if record.ref in roots or _is_below(record, roots, living))


def _is_root(record: Record, living: Living) -> bool:
    """True if the process is the root of a tree that was left behind."""
    if record.role not in LEFT or record.parent is None or _lives(record.parent, living):
        return False
    process = living.get(record.ref.pid)
    if process is None or process.ref != record.ref or process.ppid == 0:
        return False
    parent = living.get(process.ppid)
    return parent is not None and not parent.title.owner


def _is_below(record: Record, roots: Collection[Ref], living: Living) -> bool:
    """True if its parent, or that one's, is such a root."""
    at = living.get(record.ref.pid)
    if record.role not in LEFT or at is None or at.ref != record.ref:
        return False
    for _ in LEFT:  # a tree has no more levels below its API server
        at = living.get(at.ppid)
        if at is None or at.ref in roots:
            break
    return at is not None and at.ref in roots


def _lives(ref: Ref, living: Living) -> bool:
    found = living.get(ref.pid)
    return found is not None and found.ref == ref


def _parent(process: Process, living: Living) -> Ref | None:
    """Returns the parent if it can own an engine: any other one has taken the process over already."""
    parent = living.get(process.ppid)
    return parent.ref if parent is not None and parent.title.owner else None


def _server(process: Process, living: Living, servers: Mapping[Ref, str]) -> str:
    """Returns the server of the nearest ancestor, itself included, that is joined to one; '' without one."""
    seen: set[int] = set()
    at: Process | None = process
    while at is not None and at.ref.pid not in seen:
        if at.ref in servers:
            return servers[at.ref]
        seen.add(at.ref.pid)
        at = living.get(at.ppid)
    return ""
