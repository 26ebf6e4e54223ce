"""What supervisord and /proc say of a target, put together. Pure."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from vllm_healer.actuators.orphans import choose_orphans
from vllm_healer.actuators.processes import TICKS, Process, Snapshot, choose_api_server
from vllm_healer.actuators.supervisor_rpc import Info
from vllm_healer.model import NO_INCARNATION, Incarnation, ProcessRef, RunState

CLOCK_SLACK = 5.0  # seconds that supervisord and /proc may differ about a process's age: whole seconds, and load
SETTLED = 3.0  # supervisord restarts what exited within a second or never

ENDED = frozenset({RunState.STOPPED, RunState.EXITED, RunState.FATAL})
ALIVE = frozenset({RunState.STARTING, RunState.RUNNING})


@dataclass(frozen=True)
class Scene:
    """Of a supervisord on another host there is no snapshot: its processes cannot be seen."""

    info: Info
    snapshot: Snapshot | None
    tree: tuple[Process, ...]  # living, from the supervised process down
    orphans: tuple[ProcessRef, ...]

    @property
    def incarnation(self) -> Incarnation:
        server = choose_api_server(self.tree)
        if server and self.snapshot:
            started = time.time() - self.snapshot.uptime + server.start_ticks / TICKS
            return Incarnation(self.snapshot.key(server), server.pid, started)
        if self.info.pid and not self.snapshot:
            started = time.time() - (self.info.now - self.info.start)  # the age by its clock: ours may differ
            return Incarnation(f"elsewhere/{self.info.pid}/{self.info.start:.0f}", self.info.pid, started)
        return NO_INCARNATION

    @property
    def words(self) -> str:
        pid = f", pid {self.info.pid}" if self.info.pid else ""
        trouble = f", {self.info.trouble}" if self.info.trouble else ""
        elsewhere = "" if self.snapshot else "; it runs on another host, so its processes cannot be seen"
        return f"supervisord says {self.info.word}{pid}{trouble}{elsewhere}"


def make_scene(
    info: Info,
    supervisor_pid: int,
    snapshot: Snapshot,
    remembered: Mapping[str, tuple[ProcessRef, ...]],
    local_socket: bool,
) -> Scene:
    if not is_ours(info, supervisor_pid, snapshot, local_socket):
        return Scene(info, None, (), ())
    tree = snapshot.tree(info.pid) if info.pid else ()
    current = frozenset(process.pid for process in tree)
    return Scene(info, snapshot, tree, choose_orphans(snapshot, remembered, current, supervisor_pid))


def is_ours(info: Info, supervisor_pid: int, snapshot: Snapshot, local_socket: bool) -> bool:
    """Whether supervisord's pids are this host's. Another host has pids too, and signalling those would hit strangers.

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


def is_superseded(scene: Scene, incarnation: str) -> bool:
    """Another incarnation lives, or supervisord is about to start one by itself."""
    present = scene.incarnation.key
    if present == NO_INCARNATION.key:
        return scene.info.state is RunState.STARTING and incarnation != present
    return present != incarnation


def choose_restarts_itself(info: Info, configured: bool | None) -> bool | None:
    """What is configured, where supervisord tells; else what is seen: what stays EXITED or FATAL is not restarted."""
    if configured is not None:
        return configured
    settled = info.state is RunState.EXITED and info.now - info.stop > SETTLED
    return False if settled or info.state is RunState.FATAL else None


def choose_members(scene: Scene, remembered: tuple[ProcessRef, ...]) -> tuple[ProcessRef, ...]:
    """All that must be gone before the next start: the tree, what is left of the remembered one, and orphans.

    What a living member has started since it was remembered belongs to it.
    """
    if scene.snapshot is None:
        return ()
    known = (*(process.ref for process in scene.tree), *scene.snapshot.alive(remembered), *scene.orphans)
    return with_descendants(scene.snapshot, known)


def with_descendants(snapshot: Snapshot, refs: tuple[ProcessRef, ...]) -> tuple[ProcessRef, ...]:
    below = (process.ref for ref in refs for process in snapshot.tree(ref.pid))
    return tuple({ref.pid: ref for ref in (*refs, *below)}.values())


def _is_supervisord(process: Process) -> bool:
    """Also as `python3 /usr/bin/supervisord` and `python3 -m supervisor.supervisord`."""
    return any(os.path.basename(word).endswith("supervisord") for word in (process.comm, *process.argv[:3]))
