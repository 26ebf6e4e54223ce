"""Restart engine: forced restart of one server's whole process tree, through its supervisor."""

from __future__ import annotations

from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Facts, Outcome, Result
from vllm_healer.remediation import Remediation

GRACE = 2.0  # seconds from SIGTERM to SIGKILL: a stalled engine answers nobody, so nothing is drained


class RestartEngine(Remediation):
    """For an engine that cannot come back by itself. Requests in flight and the prefix cache are lost."""

    causes = frozenset({"engine_dead", "engine_stalled"})
    destructive = True
    proof = "new_incarnation"

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return f"restart the engine: {diagnosis.evidence}"

    def carry_out(self, handle: Handle) -> Result:
        ended = handle.stop(GRACE)
        seen = handle.start()
        what = (
            f"ended {ended} processes of {handle.server} and started it again"
            if ended
            else f"started {handle.server} again"
        )
        return Result(Outcome.DONE, f"{what}: {seen.detail}", seen.incarnation.key)
