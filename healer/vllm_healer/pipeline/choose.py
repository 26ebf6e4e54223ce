"""Choose: plans the remediation that serves the cause, for the incarnation that was seen.

Choosing comes before guarding, so that the journal can say what would have been done and what kept it from being done.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vllm_healer.model import Diagnosis, Facts, Incident, Plan
from vllm_healer.registry import Remediations, remediations

FALLBACK = "notify_only"


def choose(
    incident: Incident, diagnosis: Diagnosis, facts: Facts, allowed: Collection[str], using: Remediations | None = None
) -> Plan:
    """The plan; there always is one. What is not in `allowed` is planned all the same, and the guard refuses it."""
    known = remediations() if using is None else using
    name = serving(diagnosis.cause, known) if facts.target is not None else FALLBACK
    plan = known[name].plan(incident, diagnosis, facts)
    return replace(plan, allowed=not plan.destructive or plan.remediation in allowed)


def serving(cause: str, known: Remediations) -> str:
    """The first remediation by name that serves the cause; for a cause that none serves, the one that only tells."""
    return next((name for name in sorted(known) if cause in known[name].causes), FALLBACK)
