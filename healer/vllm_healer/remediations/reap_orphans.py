"""Reap orphans: ends the processes that outlived their API server, so that the next start finds its memory free."""

from __future__ import annotations

from collections.abc import Callable

from vllm_healer.model import Diagnosis, Facts, Result, Target
from vllm_healer.ports import Actuator
from vllm_healer.remediation import Remediation


class ReapOrphans(Remediation):
    """Touches only what the actuator proves to be left over; nobody is served by an orphan, so no request is lost."""

    causes = frozenset({"orphans"})
    destructive = True
    proof = "no_orphans"

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return f"remove the orphans: {diagnosis.evidence}"

    def carry_out(
        self, actuator: Actuator, target: Target, incarnation: str, step: Callable[[str], None], deadline: float
    ) -> Result:
        return actuator.reap(target, incarnation, step, deadline)
