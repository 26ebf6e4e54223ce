"""Notify only: says what was found and touches nothing. What the alerts' human route delivers is the notification."""

from __future__ import annotations

from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Facts, Outcome, Result
from vllm_healer.remediation import Remediation

WHY = {
    "overload": "a restart would lose the queue and the cache and cure nothing: shed load or add a replica",
    "starting": "its supervisor is starting it: waiting for it to answer",
    "none": "nothing to do",
}
OTHERWISE = "no remedy is known for this: a person should look"


class NotifyOnly(Remediation):
    """Answers what a restart would not cure, what cures itself, and what nobody understands."""

    causes = frozenset({"none", "overload", "starting", "unknown"})
    destructive = False

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return diagnosis.advice or WHY.get(diagnosis.cause, OTHERWISE)

    def waits(self, diagnosis: Diagnosis) -> bool:
        return diagnosis.cause == "starting"

    def carry_out(self, handle: Handle) -> Result:
        return Result(Outcome.DONE, f"nothing was done to {handle.server}: it is only reported", handle.incarnation)
