"""Engine stalled: work is present and nothing in the engine moves, though /health says 200.

Progress decides, not output and not the canary: a chunked prefill produced nothing for 84 s in a healthy server, while
its KV usage moved at every step. So Prometheus and the healer's own look must say the same.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.model import Diagnosis, Facts, Health, Incident, Look, Signals
from vllm_healer.progress import FROM_INSIDE, fresh, inside_words, moved


class EngineStalled(Detector):
    """Needs a fresh stall from the exporter, a failed canary of the healer's own, and nothing that contradicts them."""

    alerts = frozenset({"VllmEngineStalled"})
    hints = frozenset({"VllmCanaryFailing"})
    destructive_may_help = True
    series = FROM_INSIDE
    order = 30

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        signals, look = facts.signals, facts.look
        if signals is None or look is None or fresh(signals.stalled, facts.max_signal_age) != 1:
            return None
        if not agrees(look) or progressing(signals, facts.earlier, look, facts.max_signal_age):
            return None
        return Diagnosis("engine_stalled", evidence(signals, look, facts.max_signal_age), self.supporting(incident))


def agrees(look: Look) -> bool:
    """True if it looks like a hang: /health is ok, nobody paused it, and a quick request gets no answer."""
    if look.health is not Health.OK or look.paused is True or look.canary is None:
        return False
    return look.canary.applicable and not look.canary.ok and not look.canary.answered


def progressing(signals: Signals, earlier: Look | None, look: Look, max_age: float) -> bool:
    """True if anything shows that the engine moves. What is not known shows nothing."""
    age, limit = fresh(signals.progress_age, max_age), fresh(signals.stall_limit, max_age)
    if age is not None and limit is not None and age < limit:
        return True
    return moved(earlier, look)


def evidence(signals: Signals, look: Look, max_age: float) -> str:
    age, limit = fresh(signals.progress_age, max_age), fresh(signals.stall_limit, max_age)
    still = "no engine value changed" if age is None else f"no engine value changed for {age:.0f} s"
    allowed = "" if limit is None else f" (limit {limit:.0f} s)"
    seconds = look.canary.seconds if look.canary else 0.0
    own = f"/health is ok but the canary got no answer in {seconds:.1f} s"
    return "; ".join(
        filter(None, (f"{still}{allowed} while {_work(signals, max_age)}", inside_words(signals, max_age), own))
    )


def _work(signals: Signals, max_age: float) -> str:
    running, waiting = fresh(signals.running, max_age), fresh(signals.waiting, max_age)
    if not running and not waiting:
        return "work is present (gauges of a hung engine may be frozen at 0)"
    return f"there are requests (running {running or 0:.0f}, waiting {waiting or 0:.0f})"
