"""Restart engine: forced restart of one server's whole process tree, through its supervisor."""

from __future__ import annotations

from collections.abc import Callable

from vllm_healer.model import Diagnosis, Facts, Result, Target
from vllm_healer.ports import Actuator
from vllm_healer.remediation import Remediation


class RestartEngine(Remediation):
    """For an engine that cannot come back by itself. Requests in flight and the prefix cache are lost."""

    causes = frozenset({"engine_dead", "engine_stalled"})
    destructive = True
    proof = "new_incarnation"

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return f"restart the engine: {diagnosis.evidence}"

    def carry_out(
        self, actuator: Actuator, target: Target, incarnation: str, step: Callable[[str], None], deadline: float
    ) -> Result:
        return actuator.restart(target, incarnation, step, deadline)
