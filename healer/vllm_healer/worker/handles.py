"""Makes the handle of an action on its server."""

from __future__ import annotations

from vllm_healer.handle import Handle
from vllm_healer.model import Permit, Target
from vllm_healer.registry import remediations
from vllm_healer.worker.deps import Deps


def make_handle(deps: Deps, target: Target, permit: Permit, seconds: float) -> Handle:
    """The handle for the action's own remediation, for so many seconds. One that is gone may do nothing."""

    def step(name: str) -> None:
        deps.journal.step(permit.action, name, deps.clock.now())

    plan, known = permit.plan, remediations().get(permit.plan.remediation)
    until = deps.clock.now().boot + seconds
    verbs = known.verbs if known is not None else frozenset()
    actuator = deps.actuators[target.actuator]
    return Handle(actuator, target, plan.incarnation, step, deps.clock, until, plan.processes, plan.amount, verbs)
