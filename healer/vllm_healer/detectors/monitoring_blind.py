"""Monitoring blind: /health is ok and vLLM's /metrics cannot be read, so nobody can tell a hang from an idle server."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailureMode
from vllm_healer.model import Diagnosis, Facts, Health, Incident, Look


class MonitoringBlind(FailureMode):
    """Believes its own look: no value of the engine on the page. The alert alone may be about another job's scrape."""

    order = 55  # after whatever can be told without the page
    broken = "/health is ok, but its /metrics shows no value of the engine"
    person = (
        "start it without --disable-log-stats, let `url` name the server itself and not a proxy, and look whether its "
        "/metrics wants a key or is larger than 8 MiB"
    )

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        look = facts.look
        if look is None or look.health is not Health.OK or look.paused is True:
            return None
        if look.work is not None or look.work_before is not None:
            return None
        return Diagnosis(self.mode(), f"{self.broken}: {serving(look)}", frozenset(), self.person)


def serving(look: Look) -> str:
    """Words for whether it serves, as far as the canary tells."""
    canary = look.canary
    if canary is None or not canary.applicable:
        return "whether it serves is not known, as no canary applies to it"
    if canary.ok:
        return f"it serves, as the canary was answered in {canary.seconds:.1f} s, and a hang would not be seen"
    return f"the canary failed ({canary.detail or 'no answer'}), and whether it hangs or is busy is not known"
