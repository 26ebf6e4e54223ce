"""Reap orphans: ends the processes that outlived their API server, so that the next start finds its memory free."""

from __future__ import annotations

from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Facts, Health, Outcome, Plan, Result
from vllm_healer.proof import Evidence, Proof
from vllm_healer.remediation import Remediation

GRACE = 4.0  # seconds; an orphan ends within 3 s of SIGTERM and frees its memory properly (measured on vLLM 0.32)


class ReapOrphans(Remediation):
    """Touches only what the actuator proves to be left over; nobody is served by an orphan, so no request is lost."""

    causes = frozenset({"orphans"})
    cooldown = 60.0  # orphans that were killed do not come back
    proven_within = 30.0  # a killed process is gone and its memory free by then; what stays hangs in the kernel
    look_again = True  # the server that they belonged to may still be down

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return f"remove the orphans: {diagnosis.evidence}"

    def carry_out(self, handle: Handle) -> Result:
        """Ends them whatever the incarnation is: a start of the server in between makes them no less orphaned."""
        seen = handle.observe()
        if not seen.orphans:
            return Result(Outcome.ALREADY, f"{handle.server} has no orphans; nothing was done", seen.incarnation.key)
        left = handle.terminate(seen.orphans, GRACE)
        if left:
            handle.kill(left)
        pids = ", ".join(str(process.pid) for process in seen.orphans)
        return Result(Outcome.DONE, f"removed the orphans of {handle.server}: pid {pids}", seen.incarnation.key)

    def prove(self, plan: Plan, evidence: Evidence) -> Proof:
        """Proves that no orphan is left. Whether the server itself is well is the next diagnosis."""
        if evidence.supervisor is None:
            return Proof(missing="the supervisor does not answer")
        left = ", ".join(f"{process.role} pid {process.pid}" for process in evidence.supervisor.orphans)
        if left:
            return Proof(missing=f"still there: {left}")
        health = evidence.look.health
        return Proof("no orphan is left" if health is Health.OK else f"no orphan is left; /health is {health.value}")
