"""supervisord: starts and stops a program, and signals processes that no longer obey it.

supervisord is asked over XML-RPC and does all starting and stopping, so that its own restarting cannot race with ours.
What it cannot do, ending a stopped engine or an orphan, is done through /proc where it runs on this host; of a
supervisord elsewhere only the program's state is known, and its own stopwaitsecs ends what ignores SIGTERM.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from vllm_healer.actuators.commands import model_of
from vllm_healer.actuators.listeners import find_stranger, holds, port_uids
from vllm_healer.actuators.processes import PROC, Snapshot, find_traced, read_snapshot, send, still_alive, user_of
from vllm_healer.actuators.supervisor_rpc import TIMEOUT, Supervisor, parse_autorestart, parse_program_file
from vllm_healer.actuators.supervisor_view import Place, is_ours, make_view
from vllm_healer.actuators.vllm_http import ask_server
from vllm_healer.model import UNKNOWN_USER, ProcessRef, SupervisorView, Target

POLL = 0.1  # seconds between two looks at what is ending

# The trees of a server's earlier incarnations, by incarnation key, as the journal kept them.
Remembered = Callable[[str], Mapping[str, tuple[ProcessRef, ...]]]


class Supervisord:
    """The actuator. Stateless: what it needs of the past is `remembered`. Safe to call from several threads."""

    def __init__(
        self,
        remembered: Remembered,
        proc: Path = PROC,
        timeout: float = TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._remembered = remembered
        self._proc = proc
        self._timeout = timeout
        self._monotonic = monotonic
        self._sleep = sleep

    def observe(self, target: Target) -> SupervisorView:
        """Asks supervisord before it reads processes: a pid that ends in between is then simply not there."""
        supervisor = self._supervisor(target)
        info, pid, config = supervisor.info(), supervisor.pid(), supervisor.config()
        snapshot, remembered = read_snapshot(self._proc), self._remembered(target.server)
        place = choose_place(supervisor, pid, self._proc)
        view = make_view(info, pid, snapshot, remembered, place, parse_autorestart(config), time.time())
        if not is_ours(info, pid, snapshot, place):
            return view
        no_way_back = self._no_way_back(view, snapshot, parse_program_file(config), pid) if view.tree else ""
        view = replace(view, no_way_back=no_way_back, traced=find_traced(view.tree, self._proc))
        return self._with_stranger(view, target, snapshot)

    def stop(self, target: Target, grace: float) -> None:
        """Returns at once. supervisord kills after its own stopwaitsecs and cannot be told another `grace`."""
        self._supervisor(target).stop()

    def start(self, target: Target) -> None:
        self._supervisor(target).start()

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        """Signals each by pid and start time, so that no other process can be hit; see `send`."""
        every = read_snapshot(self._proc).with_descendants(processes)
        for process in every:
            send(process, number)
        return self._wait_gone(every, self._monotonic() + wait)

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        return ask_server(target, method, path, body, timeout)

    def _supervisor(self, target: Target) -> Supervisor:
        return Supervisor(target, self._timeout, self._trusted(target), self._proc)

    def _no_way_back(self, view: SupervisorView, snapshot: Snapshot, program: str, pid: int) -> str:
        """Words for what a start needs and would not find; '' when nothing is seen to be missing."""
        server = snapshot.processes.get(view.incarnation.pid)
        model = missing_model(model_of(server.argv), server.pid, self._proc) if server is not None else ""
        return missing_file(program, pid, self._proc) or model

    def _with_stranger(self, view: SupervisorView, target: Target, snapshot: Snapshot) -> SupervisorView:
        known = frozenset(ref.pid for ref in (*view.tree, *view.unsupervised))
        stranger = find_stranger(target, snapshot, known, self._proc)
        return replace(view, stranger=stranger.ref) if stranger is not None else view

    def _trusted(self, target: Target) -> frozenset[int]:
        """The users who may own its TCP port here: root, the healer's, and the supervised server's.

        Until the server's user is on record it is whoever listens on the server's own port.
        """
        trees = self._remembered(target.server).values()
        owners = {ref.uid for tree in trees for ref in tree if ref.role != "helper"} - {UNKNOWN_USER}
        serving = port_uids(urlsplit(target.url).port or 80, self._proc)
        return frozenset({0, os.geteuid(), *(owners or serving)})

    def _wait_gone(self, processes: tuple[ProcessRef, ...], until: float) -> tuple[ProcessRef, ...]:
        """The processes that are still there at `until`; returns earlier when none is."""
        left = still_alive(processes, self._proc)
        while left and self._monotonic() < until:
            self._sleep(POLL)
            left = still_alive(left, self._proc)
        return left


def choose_place(supervisor: Supervisor, pid: int, proc: Path) -> Place:
    """Tells whose pids it names. Over TCP the supervisord that is named must hold the port itself or, where that cannot
    be seen, the user who listens must be root, or own that supervisord."""
    if supervisor.is_local_socket or holds(pid, supervisor.listeners, proc):
        return Place.SOCKET
    if not supervisor.here:
        return Place.ELSEWHERE
    owned = supervisor.uids <= {0} or supervisor.uids == {user_of(pid, proc)}
    return Place.PORT if owned else Place.UNPROVEN


def missing_model(model: str, server_pid: int, proc: Path) -> str:
    """Words when the model's directory is gone, as after a disk that was unmounted; '' when that is not known.

    Only an absolute path is judged. It must be missing both here and where the server, which may have mounts of its
    own, looks for it.
    """
    root = proc / str(server_pid) / "root"
    try:
        if not model.startswith("/") or not os.path.samefile(root, "/"):
            return ""
    except OSError:
        return ""
    if not (_is_missing(model) and _is_missing(f"{root}{model}")):
        return ""
    return f"its model {model} is not there; bring it back, for a start would fail without it"


def _is_missing(path: str) -> bool:
    """True if nothing has that name. What may not be looked at may be there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def missing_file(path: str, supervisor_pid: int, proc: Path) -> str:
    """Words when the file that a start would run is gone, as in the middle of an upgrade; '' when that is not known."""
    try:
        if not path or not os.path.samefile(proc / str(supervisor_pid) / "root", "/") or os.path.lexists(path):
            return ""
    except OSError:
        return ""
    return f"supervisord would run {path}, which is not there; install it, or correct the program's command"
