"""Verify: judges by looking whether it worked, and what becomes of the incident then."""

from __future__ import annotations

from vllm_healer.model import IncidentState, Plan, Verdict, Verification
from vllm_healer.proof import Evidence, Proof
from vllm_healer.registry import Remediations, remediations
from vllm_healer.remediation import Remediation


def verify(
    plan: Plan, evidence: Evidence, elapsed: float, start_timeout: float, using: Remediations | None = None
) -> Verdict:
    """The verdict: RECOVERED with what was seen, NOT_YET until the deadline, then FAILED with what is missing.

    `elapsed` counts from the intent, in seconds. The plan of a remediation that is gone is never verified.
    """
    known = (remediations() if using is None else using).get(plan.remediation)
    allowed = time_allowed(plan, start_timeout, using)
    proof = _prove(known, plan, evidence)
    if proof.seen and not proof.missing:
        words = f"{plan.server} recovered after {elapsed:.0f} s: {proof.seen}"
        return Verdict(Verification.RECOVERED, words)
    missing = proof.missing or "nothing was seen that proves it"
    if elapsed < allowed and not proof.hopeless:
        return Verdict(Verification.NOT_YET, f"{plan.server} after {elapsed:.0f} of {allowed:.0f} s: {missing}")
    words = f"{plan.server} did not recover in {min(elapsed, allowed):.0f} s: {missing}"
    return Verdict(Verification.FAILED, words)


def overdue(plan: Plan, elapsed: float, start_timeout: float, using: Remediations | None = None) -> Verdict:
    """The verdict by the clock alone, for when the look at the server does not come back."""
    allowed = time_allowed(plan, start_timeout, using)
    missing = "the look at it has not come back"
    if elapsed < allowed:
        return Verdict(Verification.NOT_YET, f"{plan.server} after {elapsed:.0f} of {allowed:.0f} s: {missing}")
    return Verdict(Verification.FAILED, f"{plan.server} did not recover in {allowed:.0f} s: {missing}")


def time_allowed(plan: Plan, start_timeout: float, using: Remediations | None = None) -> float:
    """The seconds from the intent in which the effect must be proven."""
    known = (remediations() if using is None else using).get(plan.remediation)
    return min(start_timeout, known.proven_within) if known else start_timeout


def next_state(plan: Plan, verdict: Verdict, using: Remediations | None = None) -> tuple[IncidentState, str]:
    """The state of an incident whose action has this verdict, and why in words."""
    if verdict.verification is not Verification.RECOVERED:
        return IncidentState.FAILED, f"{plan.server} is not healed: a person is needed"
    if (remediations() if using is None else using)[plan.remediation].look_again:
        return IncidentState.OPEN, "looking whether anything else is wrong"
    return IncidentState.HEALED, f"{plan.server} is healed"


def _prove(remediation: Remediation | None, plan: Plan, evidence: Evidence) -> Proof:
    if remediation is None:
        return Proof(missing=f"nobody knows how to prove {plan.remediation!r}")
    try:
        return remediation.prove(plan, evidence)
    except Exception as error:  # noqa: BLE001 - the plug-in boundary: what could not be judged is not proven
        return Proof(missing=f"its proof failed with {type(error).__name__}: {error}")
