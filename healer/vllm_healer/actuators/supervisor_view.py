"""Puts together what supervisord and /proc say of a target. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vllm_healer.actuators.orphans import choose_orphans
from vllm_healer.actuators.processes import TICKS, Process, Snapshot, choose_api_server, parse_key
from vllm_healer.actuators.supervisor_rpc import Info
from vllm_healer.model import NO_INCARNATION, Incarnation, ProcessRef, RunState, SupervisorView

CLOCK_SLACK = 5.0  # seconds that supervisord and /proc may differ about a process's age: whole seconds, and load
SETTLED = 3.0  # supervisord restarts what exited within a second or never

Trees = Mapping[str, tuple[ProcessRef, ...]]  # by incarnation key


def make_view(
    info: Info,
    supervisor_pid: int,
    snapshot: Snapshot,
    remembered: Trees,
    local_socket: bool,
    autorestart: bool | None,
    now: float,
) -> SupervisorView:
    """The view at `now`, in seconds since the epoch.

    Of a supervisord on another host no process is shown, since its pids mean nothing here.
    """
    restarts = choose_restarts_itself(info, autorestart)
    if not is_ours(info, supervisor_pid, snapshot, local_socket):
        words = f"{describe(info)}; it runs on another host, so its processes cannot be seen"
        return SupervisorView(info.state, _incarnation_elsewhere(info, now), restarts_itself=restarts, detail=words)
    tree = snapshot.tree(info.pid) if info.pid else ()
    current = frozenset(process.pid for process in tree)
    return SupervisorView(
        state=info.state,
        incarnation=_incarnation(snapshot, tree, now),
        tree=tuple(process.ref for process in tree),
        orphans=choose_orphans(snapshot, remembered, current, supervisor_pid),
        survivors=choose_survivors(snapshot, remembered),
        restarts_itself=restarts,
        detail=describe(info),
    )


def is_ours(info: Info, supervisor_pid: int, snapshot: Snapshot, local_socket: bool) -> bool:
    """True if supervisord's pids are this host's. Another host has pids too, and signalling those would hit strangers.

    Its own pid must be a supervisord here, its child that one's child and, unless we share a socket, of the same age.
    """
    supervisor = snapshot.processes.get(supervisor_pid)
    if supervisor is None or not _is_supervisord(supervisor):
        return False
    process = snapshot.processes.get(info.pid)
    if process is None:
        return True  # no process, or one that ended a moment ago
    age = snapshot.uptime - process.start_ticks / TICKS
    return process.parent == supervisor_pid and (local_socket or abs(age - (info.now - info.start)) <= CLOCK_SLACK)


def choose_survivors(snapshot: Snapshot, remembered: Trees) -> Trees:
    """The living processes of each remembered tree. A tree of another boot or another host names nobody here."""
    keys = {key: parse_key(key) for key in remembered}
    return {key: snapshot.alive(remembered[key]) for key, read in keys.items() if read and read[0] == snapshot.boot_id}


def choose_restarts_itself(info: Info, configured: bool | None) -> bool | None:
    """The configured answer, where supervisord tells it; else False for what stays EXITED or is FATAL."""
    if configured is not None:
        return configured
    settled = info.state is RunState.EXITED and info.now - info.stop > SETTLED
    return False if settled or info.state is RunState.FATAL else None


def describe(info: Info) -> str:
    pid = f", pid {info.pid}" if info.pid else ""
    trouble = f", {info.trouble}" if info.trouble else ""
    return f"supervisord says {info.word}{pid}{trouble}"


def _incarnation(snapshot: Snapshot, tree: tuple[Process, ...], now: float) -> Incarnation:
    server = choose_api_server(tree)
    if server is None:
        return NO_INCARNATION
    started = now - snapshot.uptime + server.start_ticks / TICKS
    return Incarnation(snapshot.key(server), server.pid, started)


def _incarnation_elsewhere(info: Info, now: float) -> Incarnation:
    if not info.pid:
        return NO_INCARNATION
    started = now - (info.now - info.start)  # the age by its clock: ours may differ
    return Incarnation(f"elsewhere/{info.pid}/{info.start:.0f}", info.pid, started)


def _is_supervisord(process: Process) -> bool:
    """True also for `python3 /usr/bin/supervisord` and `python3 -m supervisor.supervisord`."""
    return any(os.path.basename(word).endswith("supervisord") for word in (process.comm, *process.argv[:3]))
