"""The proof that an action helped: it counts as done only when its effect has been seen."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_healer.leftover import answered_by_another
from vllm_healer.model import Health, Look, SupervisorView
from vllm_healer.progress import moved


@dataclass(frozen=True)
class Evidence:
    """The looks at a server that verification judges by."""

    before: Look | None  # the look that the action was decided on
    look: Look
    supervisor: SupervisorView | None  # None: it does not answer


@dataclass(frozen=True)
class Proof:
    """The answer to whether an action's effect is proven. It is when something was seen and nothing is missing."""

    seen: str = ""  # in words for people
    missing: str = ""  # in words for people
    hopeless: bool = False  # waiting longer cannot help


def answers(evidence: Evidence) -> Proof:
    """Proves that it answers: /health is ok and a token came back. Without a canary, the engine's values must move."""
    look, canary = evidence.look, evidence.look.canary
    another = answered_by_another(evidence.supervisor)
    if another:
        return Proof(missing=another)
    if look.health is not Health.OK:
        return Proof(missing=f"/health is {look.health.value}")
    if canary is None:
        return Proof(missing="it is paused" if look.paused is True else "no canary was sent")
    if canary.applicable and canary.ok:
        return Proof(f"/health is ok and the canary answered in {canary.seconds:.1f} s")
    if canary.applicable:
        return Proof(missing=f"the canary failed ({canary.detail or 'no answer'})")
    if _progress_shown(evidence.before, look):
        return Proof("/health is ok and the engine's values move")
    return Proof(missing="no canary applies to it, and no engine value has changed")


def _progress_shown(before: Look | None, look: Look) -> bool:
    """True if values changed, or are shown again after a look that showed none."""
    return moved(before, look) or (before is not None and before.work is None and look.work is not None)
