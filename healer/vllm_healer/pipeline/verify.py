"""Verify: whether it worked, by looking. An action counts as done only when its effect has been seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vllm_healer.detector import moved
from vllm_healer.model import NO_INCARNATION, Health, Look, Plan, RunState, SupervisorView, Verdict, Verification

# A killed process is gone, and its memory free, within 30 s; what is still there then hangs in the kernel.
ORPHANS_GONE_WITHIN = 30.0

Missing = tuple[str, ...]
Proof = Callable[[Plan, Look | None, Look, SupervisorView | None], Missing]


def verify(
    plan: Plan,
    before: Look | None,
    now_look: Look,
    supervisor: SupervisorView | None,
    elapsed: float,
    start_timeout: float,
) -> Verdict:
    """RECOVERED with what was seen; NOT_YET until the deadline; then FAILED with what is missing.

    `elapsed` counts from the intent, in seconds. A plan with a proof that is not known here is never verified.
    """
    allowed = min(start_timeout, ORPHANS_GONE_WITHIN) if plan.proof == "no_orphans" else start_timeout
    proof = PROOFS.get(plan.proof)
    missing = proof(plan, before, now_look, supervisor) if proof else (f"nobody knows how to prove {plan.proof!r}",)
    if not missing:
        words = f"{plan.server} recovered after {elapsed:.0f} s: {_seen(plan, now_look)}"
        return Verdict(Verification.RECOVERED, words)
    lacks = "; ".join(missing)
    if elapsed < allowed and not given_up(plan, supervisor):
        return Verdict(Verification.NOT_YET, f"{plan.server} after {elapsed:.0f} of {allowed:.0f} s: {lacks}")
    return Verdict(Verification.FAILED, f"{plan.server} did not recover in {min(elapsed, allowed):.0f} s: {lacks}")


def given_up(plan: Plan, supervisor: SupervisorView | None) -> bool:
    """The program ended again and nobody starts it: waiting would only keep the pool locked."""
    if plan.proof != "new_incarnation" or supervisor is None:
        return False
    ended_for_good = supervisor.state is RunState.EXITED and supervisor.restarts_itself is False
    return ended_for_good or supervisor.state is RunState.FATAL


def answers(plan: Plan, before: Look | None, now_look: Look, supervisor: SupervisorView | None) -> Missing:
    """/health is ok, and one token came back; where no canary applies, the engine's values move instead."""
    if now_look.health is not Health.OK:
        return (f"/health is {now_look.health.value}",)
    canary = now_look.canary
    if canary is None:
        return ("it is paused",) if now_look.paused is True else ("no canary was sent",)
    if canary.applicable:
        return () if canary.ok else (f"the canary failed ({canary.detail or 'no answer'})",)
    return () if _progress_shown(before, now_look) else ("no canary applies to it, and no engine value has changed",)


def new_incarnation(plan: Plan, before: Look | None, now_look: Look, supervisor: SupervisorView | None) -> Missing:
    """A new process, and it answers: the old one answering again is no restart."""
    if supervisor is None:
        return ("the supervisor does not answer",)
    key = supervisor.incarnation.key
    if key == NO_INCARNATION.key:
        return (f"no process runs (the supervisor says {supervisor.state.value})",)
    if key == plan.incarnation:
        return (f"the old process still runs (pid {supervisor.incarnation.pid})",)
    return answers(plan, before, now_look, supervisor)


def no_orphans(plan: Plan, before: Look | None, now_look: Look, supervisor: SupervisorView | None) -> Missing:
    """Nothing is left over. Whether the server itself is well is the next diagnosis."""
    if supervisor is None:
        return ("the supervisor does not answer",)
    if not supervisor.orphans:
        return ()
    return ("still there: " + ", ".join(f"{process.role} pid {process.pid}" for process in supervisor.orphans),)


PROOFS: Mapping[str, Proof] = {"answers": answers, "new_incarnation": new_incarnation, "no_orphans": no_orphans}


def _progress_shown(before: Look | None, now_look: Look) -> bool:
    """Values that changed, or that are shown again after a look that showed none."""
    return moved(before, now_look) or (before is not None and before.work is None and now_look.work is not None)


def _seen(plan: Plan, look: Look) -> str:
    if plan.proof == "no_orphans":
        return "no orphan is left" if look.health is Health.OK else f"no orphan is left; /health is {look.health.value}"
    process = "a new process, " if plan.proof == "new_incarnation" else ""
    if look.canary is not None and look.canary.applicable:
        return f"{process}/health is ok and the canary answered in {look.canary.seconds:.1f} s"
    return f"{process}/health is ok and the engine's values move"
