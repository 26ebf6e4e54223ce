"""Dry run: looks, and refuses to act. For targets that are to be watched and never touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from vllm_healer.errors import PermanentError
from vllm_healer.model import NO_INCARNATION, RunState, SupervisorView, Target
from vllm_healer.ports import Actuator


class DryRun:
    """Views through another actuator if there is one. The guard refuses in dry run anyway; this is the second lock."""

    def __init__(self, eyes: Actuator | None = None) -> None:
        self._eyes = eyes

    def view(self, target: Target) -> SupervisorView:
        if self._eyes:
            return self._eyes.view(target)
        return SupervisorView(RunState.UNKNOWN, NO_INCARNATION, detail="actuator dry_run knows no supervisor")

    def restart(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> NoReturn:
        raise PermanentError(f"dry run: {target.server} ({incarnation}) would be restarted; nothing was done")

    def reap(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> NoReturn:
        raise PermanentError(f"dry run: the orphans of {target.server} would be removed; nothing was done")
