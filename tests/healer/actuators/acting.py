"""Carries out shipped remediations on an actuator under test, with the machine's own clock."""

from __future__ import annotations

from collections.abc import Callable

from vllm_healer.clock import SystemClock
from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Plan, Result, Target
from vllm_healer.pipeline.act import act
from vllm_healer.ports import Actuator

DEADLINE = 15.0  # seconds; a restart here takes less than one, or 2 s of grace where SIGTERM is ignored


def no_step(name: str) -> None:
    """A journal that nobody reads."""


def handle(actuator: Actuator, target: Target, incarnation: str, step: Callable[[str], None] = no_step) -> Handle:
    clock = SystemClock()
    return Handle(actuator, target, incarnation, step, clock, clock.now().boot + DEADLINE)


def restart(actuator: Actuator, target: Target, incarnation: str) -> tuple[Result, list[str]]:
    """What came of it, and its steps."""
    return _run("restart_engine", actuator, target, incarnation)


def reap(actuator: Actuator, target: Target, incarnation: str) -> tuple[Result, list[str]]:
    return _run("reap_orphans", actuator, target, incarnation)


def _run(remediation: str, actuator: Actuator, target: Target, incarnation: str) -> tuple[Result, list[str]]:
    steps: list[str] = []
    plan = Plan(1, target.server, target.pool, remediation, True, incarnation, "", Diagnosis("engine_dead", ""))
    return act(plan, handle(actuator, target, incarnation, steps.append)), steps
