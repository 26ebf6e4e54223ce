"""Learn: keeps what a finished action taught. Only what was verified counts; what nobody saw teaches nothing."""

from __future__ import annotations

from vllm_healer.model import Lesson, Outcome, Plan, Verdict, Verification

UNSEEN = (Verification.NOT_YET, Verification.DROPPED)


def learn(plan: Plan, verdict: Verdict, seconds: float, outcome: Outcome = Outcome.DONE) -> Lesson | None:
    """The lesson about a remedy that was really applied. `seconds` count from intent to verdict.

    None when nothing was done (only told), when another had restarted it already, when the actuator failed (that says
    nothing about the remedy), and while the verdict is open.
    """
    if not plan.destructive or outcome is not Outcome.DONE or verdict.verification in UNSEEN:
        return None
    recovered = verdict.verification is Verification.RECOVERED
    return Lesson(plan.remediation, plan.diagnosis.cause, recovered, seconds)
