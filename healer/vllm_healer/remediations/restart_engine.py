"""Restart engine: forced restart of one server's whole process tree, through its supervisor."""

from __future__ import annotations

from dataclasses import replace

from vllm_healer.handle import Handle
from vllm_healer.leftover import name_unsupervised
from vllm_healer.model import NO_INCARNATION, Diagnosis, Facts, Outcome, Plan, Result, RunState, SupervisorView, Verb
from vllm_healer.proof import Evidence, Proof, answers
from vllm_healer.remediation import Remediation

GRACE = 2.0  # seconds from SIGTERM to SIGKILL: a stalled engine answers nobody, so nothing is drained


class RestartEngine(Remediation):
    """Restarts an engine that cannot come back by itself. Requests in flight and the prefix cache are lost."""

    causes = frozenset(
        {
            "api_server_frozen", "collective_hang", "cuda_error", "engine_dead", "engine_stalled",
            "gpu_memory_exhausted", "kernel_stall", "node_lost", "oom_kill", "poison_request", "start_hung",
            "worker_dead",
        }
    )  # fmt: skip
    verbs = frozenset({Verb.STOP, Verb.SIGNAL, Verb.START})
    cooldown = 300.0  # twice a small model's load time: a restart that did not help needs time to show it, or a person

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return f"restart the engine: {diagnosis.evidence}"

    def carry_out(self, handle: Handle) -> Result:
        beside = handle.observe().unsupervised
        ended = handle.stop(GRACE)
        seen = handle.start()
        before = f"ended {ended} processes of {handle.server} and started it" if ended else f"started {handle.server}"
        if beside:
            before = f"{name_unsupervised(beside)}; {before}"
        return Result(Outcome.DONE, f"{before} again: {seen.detail}", seen.incarnation.key)

    def untouched(self, plan: Plan, facts: Facts) -> bool:
        """True if the old process runs as before: the healer died between journalling a step and taking it."""
        seen = facts.supervisor
        return seen is not None and seen.state is RunState.RUNNING and seen.incarnation.key == plan.incarnation

    def prove(self, plan: Plan, evidence: Evidence) -> Proof:
        """Proves that a new process answers. When the old one answers again, that is no restart."""
        missing = missing_process(plan, evidence.supervisor)
        proof = Proof(missing=missing) if missing else answers(evidence)
        return replace(proof, seen=f"a new process, {proof.seen}", hopeless=has_given_up(evidence.supervisor))


def missing_process(plan: Plan, supervisor: SupervisorView | None) -> str:
    """Words for why there is no new process as far as can be seen, or ''."""
    if supervisor is None:
        return "the supervisor does not answer"
    if supervisor.incarnation.key == NO_INCARNATION.key:
        return f"no process runs (the supervisor says {supervisor.state.value})"
    if supervisor.incarnation.key == plan.incarnation:
        return f"the old process still runs (pid {supervisor.incarnation.pid})"
    return ""


def has_given_up(supervisor: SupervisorView | None) -> bool:
    """True if the program ended again and nobody starts it: waiting would only keep the pool locked."""
    if supervisor is None:
        return False
    ended_for_good = supervisor.state is RunState.EXITED and supervisor.restarts_itself is False
    return ended_for_good or supervisor.state is RunState.FATAL
