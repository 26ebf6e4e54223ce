"""Reap orphans: ends the processes that outlived their API server, so that the next start finds its memory free."""

from __future__ import annotations

from dataclasses import replace

from vllm_healer.handle import Handle
from vllm_healer.model import (
    Diagnosis,
    Facts,
    Health,
    Incident,
    Outcome,
    Plan,
    ProcessRef,
    Result,
    SupervisorView,
    Verb,
)
from vllm_healer.proof import Evidence, Proof
from vllm_healer.remediation import Remediation

GRACE = 4.0  # seconds; an orphan ends within 3 s of SIGTERM and frees its memory properly (measured on vLLM 0.32)


class ReapOrphans(Remediation):
    """Touches only what the actuator proves to be left over; nobody is served by an orphan, so no request is lost."""

    causes = frozenset({"orphans"})
    verbs = frozenset({Verb.SIGNAL})
    cooldown = 60.0  # orphans that were killed do not come back
    proven_within = 30.0  # a killed process is gone and its memory free by then; what stays hangs in the kernel
    look_again = True  # the server that they belonged to may still be down

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return f"remove the orphans: {diagnosis.evidence}"

    def plan(self, incident: Incident, diagnosis: Diagnosis, facts: Facts) -> Plan:
        """Names each process: what is found left over only later is not ended unseen."""
        left = left_over(facts.supervisor)
        return replace(super().plan(incident, diagnosis, facts), processes=left)

    def carry_out(self, handle: Handle) -> Result:
        """Ends them whatever the incarnation is: a start of the server in between makes them no less orphaned."""
        seen = handle.observe()
        ending = still(handle.processes, seen)
        if not ending:
            return Result(Outcome.ALREADY, f"{handle.server} has no orphans; nothing was done", seen.incarnation.key)
        left = handle.terminate(ending, GRACE)
        if left:
            handle.kill(left)
        pids = ", ".join(str(process.pid) for process in ending)
        return Result(Outcome.DONE, f"removed the orphans of {handle.server}: pid {pids}", seen.incarnation.key)

    def prove(self, plan: Plan, evidence: Evidence) -> Proof:
        """Proves that no orphan is left. Whether the server itself is well is the next diagnosis."""
        if evidence.supervisor is None:
            return Proof(missing="the supervisor does not answer")
        there = still(plan.processes, evidence.supervisor)
        left = ", ".join(f"{process.role} pid {process.pid}" for process in there)
        if left:
            return Proof(missing=f"still there: {left}")
        health = evidence.look.health
        return Proof("no orphan is left" if health is Health.OK else f"no orphan is left; /health is {health.value}")


def left_over(seen: SupervisorView | None) -> tuple[ProcessRef, ...]:
    """The orphans; where there are none, a whole server that its supervisor does not know."""
    if seen is None:
        return ()
    return seen.orphans or seen.unsupervised


def still(named: tuple[ProcessRef, ...], seen: SupervisorView) -> tuple[ProcessRef, ...]:
    """Keeps those of `named` that are still left over. A plan of an older release names none and means all orphans."""
    if not named:
        return seen.orphans
    return tuple(process for process in (*seen.orphans, *seen.unsupervised) if process in named)
