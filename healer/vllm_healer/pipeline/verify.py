"""Verify: judges by looking whether it worked, and what becomes of the incident then."""

from __future__ import annotations

from vllm_healer.model import IncidentState, Plan, Verdict, Verification
from vllm_healer.proof import Evidence, Proof
from vllm_healer.registry import Remediations, remediations


def verify(
    plan: Plan, evidence: Evidence, elapsed: float, start_timeout: float, using: Remediations | None = None
) -> Verdict:
    """The verdict: RECOVERED with what was seen, NOT_YET until the deadline, then FAILED with what is missing.

    `elapsed` counts from the intent, in seconds. The plan of a remediation that is gone is never verified.
    """
    known = (remediations() if using is None else using).get(plan.remediation)
    if known is None:
        allowed, proof = start_timeout, Proof(missing=f"nobody knows how to prove {plan.remediation!r}")
    else:
        allowed, proof = min(start_timeout, known.proven_within), known.prove(plan, evidence)
    if not proof.missing:
        words = f"{plan.server} recovered after {elapsed:.0f} s: {proof.seen}"
        return Verdict(Verification.RECOVERED, words)
    if elapsed < allowed and not proof.hopeless:
        return Verdict(Verification.NOT_YET, f"{plan.server} after {elapsed:.0f} of {allowed:.0f} s: {proof.missing}")
    words = f"{plan.server} did not recover in {min(elapsed, allowed):.0f} s: {proof.missing}"
    return Verdict(Verification.FAILED, words)


def next_state(plan: Plan, verdict: Verdict, using: Remediations | None = None) -> tuple[IncidentState, str]:
    """The state of an incident whose action has this verdict, and why in words."""
    if verdict.verification is not Verification.RECOVERED:
        return IncidentState.FAILED, f"{plan.server} is not healed: a person is needed"
    if (remediations() if using is None else using)[plan.remediation].look_again:
        return IncidentState.OPEN, "looking whether anything else is wrong"
    return IncidentState.HEALED, f"{plan.server} is healed"
