"""supervisord: restarts a program whose processes no longer obey, and removes what an earlier start left behind.

supervisord is asked over XML-RPC and does all starting and stopping, so that its own restarting cannot race with ours.
What it cannot do, ending a stopped engine or an orphan, is done through /proc where it runs on this host; of a
supervisord elsewhere only the program's state is known, and its own stopwaitsecs ends what ignores SIGTERM.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from vllm_healer.actuators.processes import PROC, read_snapshot, send, still_alive
from vllm_healer.actuators.scene import (
    ALIVE,
    ENDED,
    Scene,
    choose_members,
    choose_restarts_itself,
    is_superseded,
    make_scene,
    with_descendants,
)
from vllm_healer.actuators.supervisor_rpc import TIMEOUT, Supervisor
from vllm_healer.errors import TemporaryError
from vllm_healer.model import NO_INCARNATION, Outcome, ProcessRef, Result, SupervisorView, Target

GRACE = 2.0  # seconds from SIGTERM to SIGKILL in a restart: a stalled engine answers nobody, so nothing is drained
ORPHAN_GRACE = 4.0  # an orphan ends within 3 s of SIGTERM and frees its memory properly (measured on vLLM 0.32)
POLL = 0.1  # seconds between two looks at what is ending
DRIVER_DELAY = 30.0  # seconds before another try at a process that SIGKILL did not end: it hangs in the kernel


class Remembered(Protocol):
    """The trees of a server's earlier incarnations, by incarnation key, as the journal kept them."""

    def __call__(self, server: str) -> Mapping[str, tuple[ProcessRef, ...]]: ...


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

    def view(self, target: Target) -> SupervisorView:
        supervisor = Supervisor(target, self._timeout)
        scene = self._scene(target, supervisor)
        return SupervisorView(
            state=scene.info.state,
            incarnation=scene.incarnation,
            tree=tuple(process.ref for process in scene.tree),
            orphans=scene.orphans,
            restarts_itself=choose_restarts_itself(scene.info, supervisor.autorestart()),
            detail=scene.words,
        )

    def restart(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        """See the port. `deadline`: seconds from now in which it must have stopped and started; loading comes later."""
        supervisor = Supervisor(target, self._timeout)
        end = self._monotonic() + deadline
        scene = self._scene(target, supervisor)
        members = self._members(target, incarnation, scene)
        if not is_superseded(scene, incarnation) and (scene.info.state not in ENDED or members):
            step("stop")
            scene = self._scene(target, supervisor)  # the journal took its time: the incarnation is read just before
            members = self._members(target, incarnation, scene)
        if is_superseded(scene, incarnation):
            words = f"{target.server} was already started again ({scene.words}); nothing was done"
            return Result(Outcome.ALREADY, words, scene.incarnation.key)
        self._stop(supervisor, scene, members, end)
        step("start")
        supervisor.start()
        scene = self._started(target, supervisor, incarnation, end)
        words = f"ended {len(members)} processes of {target.server} and started it again: {scene.words}"
        return Result(Outcome.DONE, words, scene.incarnation.key)

    def reap(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        """See the port. Orphans are read anew and named by pid and start time, so `incarnation` fences nothing here:
        a start of the server in between does not make them less orphaned."""
        end = self._monotonic() + deadline
        scene = self._scene(target, Supervisor(target, self._timeout))
        if not scene.orphans or not scene.snapshot:
            return Result(Outcome.ALREADY, f"{target.server} has no orphans; nothing was done", scene.incarnation.key)
        orphans = with_descendants(scene.snapshot, scene.orphans)
        step("terminate")
        self._signal(orphans, signal.SIGTERM)
        left = self._wait_gone(orphans, min(end, self._monotonic() + ORPHAN_GRACE))
        if left:
            step("kill")
            self._kill(left, end)
        pids = ", ".join(str(ref.pid) for ref in orphans)
        return Result(Outcome.DONE, f"removed the orphans of {target.server}: pid {pids}", scene.incarnation.key)

    def _scene(self, target: Target, supervisor: Supervisor) -> Scene:
        """supervisord is asked before processes are read: a pid that ends in between is then simply not there."""
        info, pid = supervisor.info(), supervisor.pid()
        remembered = self._remembered(target.server)
        return make_scene(info, pid, read_snapshot(self._proc), remembered, supervisor.is_local_socket)

    def _members(self, target: Target, incarnation: str, scene: Scene) -> tuple[ProcessRef, ...]:
        return choose_members(scene, self._remembered(target.server).get(incarnation, ()))

    def _stop(self, supervisor: Supervisor, scene: Scene, members: tuple[ProcessRef, ...], end: float) -> None:
        """supervisord first, so that it does not start again what is ended here."""
        if scene.info.state in ALIVE:
            supervisor.stop()
        self._signal(members, signal.SIGTERM)
        self._kill(self._wait_gone(members, min(end, self._monotonic() + GRACE)), end)
        while supervisor.info().state not in ENDED | ALIVE:
            if self._monotonic() > end:
                raise TemporaryError(f"supervisord still stops {supervisor.program}; its stopwaitsecs may be long")
            self._sleep(POLL)

    def _started(self, target: Target, supervisor: Supervisor, incarnation: str, end: float) -> Scene:
        """Waits for the new process, not for the model: verification does that."""
        scene = self._scene(target, supervisor)
        old = (incarnation, NO_INCARNATION.key)
        while scene.incarnation.key in old and scene.info.word in ("STARTING", "RUNNING") and self._monotonic() < end:
            self._sleep(POLL)
            scene = self._scene(target, supervisor)
        return scene

    def _signal(self, refs: tuple[ProcessRef, ...], number: signal.Signals) -> None:
        for ref in refs:
            send(ref, number)

    def _kill(self, refs: tuple[ProcessRef, ...], end: float) -> None:
        self._signal(refs, signal.SIGKILL)
        left = self._wait_gone(refs, end)
        if left:
            named = ", ".join(f"{ref.title} (pid {ref.pid})" for ref in left)
            raise TemporaryError(f"still there after SIGKILL: {named}; they may hang in a driver call", DRIVER_DELAY)

    def _wait_gone(self, refs: tuple[ProcessRef, ...], until: float) -> tuple[ProcessRef, ...]:
        """Those still there at `until`; returns as soon as none is."""
        left = still_alive(refs, self._proc)
        while left and self._monotonic() < until:
            self._sleep(POLL)
            left = still_alive(left, self._proc)
        return left
