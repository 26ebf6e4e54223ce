"""Dry run: refuses every action. It is for targets that are to be watched and never touched."""

from __future__ import annotations

from typing import NoReturn

from vllm_healer.errors import PermanentError
from vllm_healer.model import NO_INCARNATION, ProcessRef, RunState, SupervisorView, Target


class DryRun:
    """The guard refuses in dry run anyway; this is the second lock."""

    def observe(self, target: Target) -> SupervisorView:
        return SupervisorView(RunState.UNKNOWN, NO_INCARNATION, detail="actuator dry_run knows no supervisor")

    def stop(self, target: Target, grace: float) -> NoReturn:
        raise PermanentError(f"dry run: {target.server} would be stopped; nothing was done")

    def start(self, target: Target) -> NoReturn:
        raise PermanentError(f"dry run: {target.server} would be started; nothing was done")

    def signal(self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float) -> NoReturn:
        raise PermanentError(f"dry run: processes of {target.server} would get signal {number}; nothing was done")

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> NoReturn:
        raise PermanentError(f"dry run: {target.server} would be asked to {method} {path}; nothing was done")
