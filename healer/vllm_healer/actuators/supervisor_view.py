"""Puts together what supervisord and /proc say of a target. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum

from vllm_healer.actuators.orphans import choose_orphans, choose_unsupervised
from vllm_healer.actuators.processes import TICKS, Process, Snapshot, choose_api_server, parse_key
from vllm_healer.actuators.supervisor_rpc import Info
from vllm_healer.leftover import name_unsupervised
from vllm_healer.model import NO_INCARNATION, Incarnation, ProcessRef, RunState, SupervisorView

CLOCK_SLACK = 5.0  # seconds that supervisord and /proc may differ about a process's age: whole seconds, and load
SETTLED = 3.0  # supervisord restarts what exited within a second or never


class Place(Enum):
    """The place of a supervisord, as far as the connection to it tells."""

    SOCKET = "a unix socket, or a TCP port of this host that the supervisord it names holds itself"
    PORT = "a TCP port of this host, held by a user who may"
    UNPROVEN = "a TCP port of this host, held by another user than the supervisord that it names"
    ELSEWHERE = "another host, or another network of this one"


Trees = Mapping[str, tuple[ProcessRef, ...]]  # by incarnation key


def make_view(
    info: Info,
    supervisor_pid: int,
    snapshot: Snapshot,
    remembered: Trees,
    place: Place,
    autorestart: bool | None,
    now: float,
) -> SupervisorView:
    """The view at `now`, in seconds since the epoch.

    Of a supervisord on another host no process is shown, since its pids mean nothing here.
    """
    restarts = choose_restarts_itself(info, autorestart)
    if not is_ours(info, supervisor_pid, snapshot, place):
        return SupervisorView(
            state=info.state,
            incarnation=_incarnation_elsewhere(info, now),
            last_start=info.start,
            restarts_itself=restarts,
            detail=f"{describe(info)}; {unseen(supervisor_pid, place)}",
        )
    tree = snapshot.tree(info.pid) if info.pid else ()
    current = frozenset(process.pid for process in tree)
    unsupervised = choose_unsupervised(snapshot, remembered, current, supervisor_pid)
    return SupervisorView(
        state=info.state,
        incarnation=_incarnation(snapshot, tree, now),
        tree=tuple(process.ref for process in tree),
        orphans=choose_orphans(snapshot, remembered, current, supervisor_pid),
        survivors=choose_survivors(snapshot, remembered),
        unsupervised=unsupervised,
        last_start=info.start,
        restarts_itself=restarts,
        detail=describe(info, unsupervised),
    )


def unseen(supervisor_pid: int, place: Place) -> str:
    """Words for why its processes are not shown. Another host is named only where the connection proves it."""
    if place is Place.ELSEWHERE:
        return "it runs on another host or in another network, so its processes cannot be seen"
    why = "it may run in another PID namespace, or /proc hides it"
    return f"its processes cannot be seen: supervisord's pid {supervisor_pid} and its child are not so in /proc; {why}"


def is_ours(info: Info, supervisor_pid: int, snapshot: Snapshot, place: Place) -> bool:
    """True if supervisord's pids are this host's. Another host has pids too, and signalling those would hit strangers.

    Its own pid must be a supervisord here, its child that one's child and, unless a socket proves it, of the same age:
    by the wall clock, which may have been set since.
    """
    supervisor = snapshot.processes.get(supervisor_pid)
    if place in (Place.ELSEWHERE, Place.UNPROVEN):
        return False
    if supervisor is None or not _is_supervisord(supervisor):
        return False
    process = snapshot.processes.get(info.pid)
    if process is None:
        return True  # no process, or one that ended a moment ago
    age = snapshot.uptime - process.start_ticks / TICKS
    return process.parent == supervisor_pid and (
        place is Place.SOCKET or abs(age - (info.now - info.start)) <= CLOCK_SLACK
    )


def choose_survivors(snapshot: Snapshot, remembered: Trees) -> Trees:
    """The living processes of each remembered tree that are vLLM's by their present title, or below one that is.

    What the record calls a helper proves nothing: a record can be forged. A tree of another boot names nobody here.
    """
    keys = {key: parse_key(key) for key in remembered}
    here = [key for key, read in keys.items() if read and read[0] == snapshot.boot_id]
    return {key: _still_of_vllm(snapshot, snapshot.alive(remembered[key])) for key in here}


def _still_of_vllm(snapshot: Snapshot, refs: tuple[ProcessRef, ...]) -> tuple[ProcessRef, ...]:
    ours = [ref.pid for ref in refs if snapshot.processes[ref.pid].role != "helper"]
    below = {process.pid for pid in ours for process in snapshot.tree(pid)}
    return tuple(ref for ref in refs if ref.pid in below)


def choose_restarts_itself(info: Info, configured: bool | None) -> bool | None:
    """The configured answer, where supervisord tells it; else False for what stays EXITED or is FATAL."""
    if configured is not None:
        return configured
    settled = info.state is RunState.EXITED and info.now - info.stop > SETTLED
    return False if settled or info.state is RunState.FATAL else None


def describe(info: Info, unsupervised: tuple[ProcessRef, ...] = ()) -> str:
    pid = f", pid {info.pid}" if info.pid else ""
    trouble = f", {info.trouble}" if info.trouble else ""
    beside = f"; {name_unsupervised(unsupervised)}" if unsupervised else ""
    return f"supervisord says {info.word}{pid}{trouble}{beside}"


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
