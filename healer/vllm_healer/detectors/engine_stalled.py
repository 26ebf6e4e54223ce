"""Engine stalled: an engine makes no step though it should, while /health says 200.

Progress decides, not output and not the canary: a chunked prefill produced nothing for 84 s in a healthy server, while
its KV usage moved at every step. So Prometheus and the healer's own look must say the same. Where a canary proves
nothing, because another engine answers it or the server refuses it, other evidence has to be there in its place.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.model import Diagnosis, Facts, Health, Incident, Look, Signals
from vllm_healer.progress import CORE_LIMIT, CORE_SILENT, ENGINE_AGE, FROM_INSIDE, fresh, inside_words, moved, reached

CANARIES = 2  # failures of the exporter's canary in a row: one alone may have met a long prompt
RUNNING = 0  # the place of the running requests in Look.work


class EngineStalled(Detector):
    """Needs a fresh word of Prometheus, and a look of the healer's own that agrees and that nothing contradicts."""

    alerts = frozenset({"VllmEngineStalled"})
    hints = frozenset({"VllmCanaryFailing"})
    destructive_may_help = True
    series = FROM_INSIDE | {CORE_SILENT, CORE_LIMIT}
    order = 30

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        signals, look = facts.signals, facts.look
        if signals is None or look is None or look.health is not Health.OK or look.paused is True:
            return None
        proofs = (whole_server, without_canary, one_of_several, silent_core)
        words = next(filter(None, (proof(facts, signals, look) for proof in proofs)), "")
        return Diagnosis("engine_stalled", words, self.supporting(incident)) if words else None


def whole_server(facts: Facts, signals: Signals, look: Look) -> str:
    """Words for a stall of all that it has: nothing moves and the canary gets no answer; '' when it is none."""
    if fresh(signals.stalled, facts.max_signal_age) != 1 or not agrees(look):
        return ""
    if progressing(signals, facts.earlier, look, facts.max_signal_age):
        return ""
    return evidence(signals, unanswered(look), facts.max_signal_age)


def without_canary(facts: Facts, signals: Signals, look: Look) -> str:
    """Words for the same on a server that refuses canaries, as pooling models do, or one without the healer's key.

    The exporter waits for twice as long then. Two looks of the healer's own see values that do not move, and either
    requests that run, or the exporter's own canaries unanswered.
    """
    canary, age = look.canary, facts.max_signal_age
    if canary is None or canary.applicable or facts.earlier is None or fresh(signals.stalled, age) != 1:
        return ""
    known = look.work is not None and facts.earlier.work is not None
    still = reached(signals.progress_age, signals.stall_limit, age) and not moved(facts.earlier, look)
    if not known or not still:
        return ""
    runs = look.work is not None and look.work[RUNNING] > 0
    if not runs and (fresh(signals.canary_failures, age) or 0.0) < CANARIES:
        return ""
    own = f"/health is ok and no value moved between two looks; a canary does not apply to it ({canary.detail})"
    return evidence(signals, own, age)


def one_of_several(facts: Facts, signals: Signals, look: Look) -> str:
    """Words for one engine that stands still with requests of its own; others may answer, and move the sums.

    Their requests are lost in a restart, too, so it must still hold at a second look.
    """
    age = facts.max_signal_age
    if facts.earlier is None or fresh(signals.stalled, age) != 1:
        return ""
    if not reached(signals.more.get(ENGINE_AGE), signals.stall_limit, age):
        return ""
    return f"{inside_words(signals, age)}, whatever the others do; /health is ok"


def silent_core(facts: Facts, signals: Signals, look: Look) -> str:
    """Words for an engine core that does nothing at all, be it idle, with a canary that is lost in it."""
    silent, age = signals.more.get(CORE_SILENT), facts.max_signal_age
    if not agrees(look) or not reached(silent, signals.more.get(CORE_LIMIT), age):
        return ""
    if not reached(silent, signals.stall_limit, age) or moved(facts.earlier, look):
        return ""
    seconds = fresh(silent, age)
    return f"an engine core process has done nothing for {seconds:.0f} s although it lives; {unanswered(look)}"


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


def unanswered(look: Look) -> str:
    seconds = look.canary.seconds if look.canary else 0.0
    return f"/health is ok but the canary got no answer in {seconds:.1f} s"


def evidence(signals: Signals, own: str, max_age: float) -> str:
    """`own`: what the healer saw itself, in words."""
    age, limit = fresh(signals.progress_age, max_age), fresh(signals.stall_limit, max_age)
    still = "no engine value changed" if age is None else f"no engine value changed for {age:.0f} s"
    allowed = "" if limit is None else f" (limit {limit:.0f} s)"
    return "; ".join(
        filter(None, (f"{still}{allowed} while {_work(signals, max_age)}", inside_words(signals, max_age), own))
    )


def _work(signals: Signals, max_age: float) -> str:
    running, waiting = fresh(signals.running, max_age), fresh(signals.waiting, max_age)
    if not running and not waiting:
        return "work is present (gauges of a hung engine may be frozen at 0)"
    return f"there are requests (running {running or 0:.0f}, waiting {waiting or 0:.0f})"
