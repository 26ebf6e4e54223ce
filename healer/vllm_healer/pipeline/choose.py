"""Choose: plans the remediation that serves the cause, for the incarnation that was seen.

Choosing comes before guarding, so that the journal can say what would have been done and what kept it from being done.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vllm_healer.model import Diagnosis, Facts, Incident, Plan
from vllm_healer.registry import Remediations, remediations
from vllm_healer.remediation import Remediation

FALLBACK = "notify_only"


def choose(
    incident: Incident, diagnosis: Diagnosis, facts: Facts, allowed: Collection[str], using: Remediations | None = None
) -> Plan:
    """The plan; there always is one. What is not in `allowed` is planned all the same, and the guard refuses it."""
    known = remediations() if using is None else using
    name = serving(diagnosis.cause, known, allowed, facts) if facts.target is not None else FALLBACK
    plan = known[name].plan(incident, diagnosis, facts)
    return replace(plan, allowed=not plan.destructive or plan.remediation in allowed)


def serving(cause: str, known: Remediations, allowed: Collection[str], facts: Facts) -> str:
    """The first remediation that serves the cause: the optional ones that are allowed and possible, then by name.

    For a cause that none serves it is the one that only tells.
    """
    serve = [(name, one) for name, one in sorted(known.items()) if cause in one.causes]
    optional = (name for name, one in serve if one.optional and name in allowed and _possible(one, facts))
    always = (name for name, one in serve if not one.optional)
    return next(optional, next(always, FALLBACK))


def _possible(remediation: Remediation, facts: Facts) -> bool:
    try:
        return remediation.possible(facts)
    except Exception:  # noqa: BLE001 - the plug-in boundary: what one cannot judge, it does not do
        return False
