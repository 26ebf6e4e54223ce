"""Finds what is left over: engines and workers that outlived their API server, servers that outlived their supervisor.

Pure.

A title proves nothing, and neither does parent 1: where vLLM is pid 1 of a container its healthy engine has that
parent. An orphan is one that was recorded in a tree of ours, by pid and start time, whose API server is gone, and whom
nobody but init has taken in. Whatever is not known leaves it alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from vllm_healer.actuators.commands import is_python
from vllm_healer.actuators.processes import Process, Snapshot, parse_key
from vllm_healer.model import ProcessRef

ORPHANABLE = frozenset({"engine_core", "worker"})

# Programs that adopt the children of the dead without owning them, by /proc/<pid>/comm (cut to 15 characters).
ADOPTERS = frozenset(
    (
        *("systemd", "init", "tini", "dumb-init", "docker-init", "catatonit"),
        *("containerd-shim", "conmon", "s6-svscan", "runsvdir"),
    )
)


def choose_orphans(
    snapshot: Snapshot,
    remembered: Mapping[str, tuple[ProcessRef, ...]],
    current: frozenset[int],
    supervisor: int,
) -> tuple[ProcessRef, ...]:
    """The orphans of all remembered trees. `current` holds the pids that run now; `supervisor` is supervisord's pid."""
    found = {
        ref.pid: ref
        for key, tree in remembered.items()
        if _ended(snapshot, key, tree)
        for ref in _left_alone(snapshot, tree, supervisor)
        if ref.pid not in current
    }
    return tuple(found[pid] for pid in sorted(found))


def choose_unsupervised(
    snapshot: Snapshot, remembered: Mapping[str, tuple[ProcessRef, ...]], current: frozenset[int], supervisor: int
) -> tuple[ProcessRef, ...]:
    """The processes of servers on record that live on after their supervisord was killed, API servers first.

    Whether the present supervisord knows them is told by `current`, what runs now, and by their parent, which is init.
    """
    roots = (parse_key(key) for key in remembered)
    known = (snapshot.find(root[1], root[2]) for root in roots if root and root[0] == snapshot.boot_id)
    left = [server for server in known if server and _on_its_own(snapshot, server, current, supervisor)]
    return tuple({process.pid: process.ref for server in left for process in snapshot.tree(server.pid)}.values())


def _on_its_own(snapshot: Snapshot, server: Process, current: frozenset[int], supervisor: int) -> bool:
    if server.role != "api_server" or server.pid in current or server.parent == supervisor:
        return False
    return _adopted(snapshot.processes.get(server.parent), supervisor)


def _ended(snapshot: Snapshot, key: str, tree: tuple[ProcessRef, ...]) -> bool:
    """True if the tree's API server is gone, and so is every other process of it that answers clients."""
    root = parse_key(key)
    if root is None or root[0] != snapshot.boot_id:  # of another host, or before a reboot: its pids mean nothing here
        return False
    serving = (ref for ref in tree if ref.role == "api_server")
    return snapshot.find(root[1], root[2]) is None and not snapshot.alive(serving)


def _left_alone(snapshot: Snapshot, tree: tuple[ProcessRef, ...], supervisor: int) -> tuple[ProcessRef, ...]:
    alive = snapshot.alive(tree)
    members = frozenset(ref.pid for ref in alive)
    return tuple(
        ref
        for ref in alive
        if _is_engine(snapshot, ref) and _adopted(_first_outside(snapshot, ref.pid, members), supervisor)
    )


def _is_engine(snapshot: Snapshot, ref: ProcessRef) -> bool:
    """True by its present title. Not by the one on record: a record can be forged, and a title is set once, early."""
    return snapshot.processes[ref.pid].role in ORPHANABLE


def _first_outside(snapshot: Snapshot, pid: int, members: frozenset[int]) -> Process | None:
    """The nearest ancestor that is not of the tree: a worker's parent is an engine that may be an orphan itself."""
    process = snapshot.processes.get(pid)
    while process and process.pid in members:
        process = snapshot.processes.get(process.parent)
    return process


def _adopted(parent: Process | None, supervisor: int) -> bool:
    """True if this parent only adopted it. A parent that cannot be seen, or that is not known to adopt, may own it."""
    if parent is None:
        return False
    if parent.pid == supervisor or parent.comm in ADOPTERS:
        return True
    return parent.pid == 1 and not _may_own(parent)


def _may_own(parent: Process) -> bool:
    """True for a vLLM server, a Ray actor, or a Python program: each may have started it."""
    program = parent.argv[0] if parent.argv else ""
    is_ray = program.startswith("ray::") or os.path.basename(program) == "raylet"
    return parent.role != "helper" or is_ray or is_python(program) or is_python(parent.comm)
