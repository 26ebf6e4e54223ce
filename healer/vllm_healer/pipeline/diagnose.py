"""Diagnose: finds the first detector that recognises its cause, or words for why none did."""

from __future__ import annotations

from dataclasses import replace

from vllm_healer.detector import Detector
from vllm_healer.leftover import answered_by_another
from vllm_healer.model import Diagnosis, Facts, Health, Incident, Look, RunState
from vllm_healer.progress import fresh, inside_words, moved
from vllm_healer.registry import Detectors, detectors


def diagnose(incident: Incident, facts: Facts, using: Detectors | None = None) -> Diagnosis:
    """The cause. Detectors are asked in the order of `Detector.order`: orphans first, overload last.

    'none': nothing is wrong as far as can be seen. 'unknown': something may be, and no detector explains it.
    """
    if facts.target is None:
        return Diagnosis("unknown", facts.target_problem or "the alerts name no listed target")
    ruled_out: list[str] = []
    for name, detector in (detectors() if using is None else using).items():
        found = _ask(name, detector, incident, facts)
        if found is not None:
            return _with_context(_of_whom(found, detector, facts), ruled_out, facts)
        if detector.suspected(incident, facts):
            ruled_out.append(name)
    return _with_context(unexplained(facts), ruled_out, facts)


def _with_context(found: Diagnosis, ruled_out: list[str], facts: Facts) -> Diagnosis:
    """Adds what it is not, and how old the oldest sample is that is young enough to be evidence."""
    known = facts.signals.ages() if facts.signals is not None else ()
    age = max((age for age in known if age <= facts.max_signal_age), default=None)
    return replace(found, ruled_out=tuple(ruled_out), sample_age=age)


def _of_whom(found: Diagnosis, detector: Detector, facts: Facts) -> Diagnosis:
    """The finding, unless it may be another server's that has the port: no action on the supervised one cures that.

    Orphans are ended all the same: whose they are is proven one by one.
    """
    supervisor = facts.supervisor
    if not detector.destructive_may_help or supervisor is None or supervisor.stranger is None or supervisor.orphans:
        return found
    fix = "end that one, or leave the port to it"
    return Diagnosis("unknown", f"{found.evidence}; but {answered_by_another(supervisor)}: {fix}")


def unexplained(facts: Facts) -> Diagnosis:
    """The diagnosis when no detector recognises anything. It is never a reason to act."""
    found = _unexplained(facts)
    more = (inside_words(facts.signals, facts.max_signal_age), answered_by_another(facts.supervisor))
    return replace(found, evidence="; ".join(filter(None, (found.evidence, *more))))


def _unexplained(facts: Facts) -> Diagnosis:
    if facts.look is None:
        return Diagnosis("unknown", _blind_words(facts) or "the server was not looked at")
    if facts.look.health is Health.SCALING:
        return Diagnosis("none", "it says that it scales: it answers every request with 503 until it has")
    if facts.look.health is not Health.OK:
        return Diagnosis("unknown", _health_words(facts.look, facts))
    return _of_canary(facts.look, facts)


def _ask(name: str, detector: Detector, incident: Incident, facts: Facts) -> Diagnosis | None:
    try:
        return detector.detect(incident, facts)
    except Exception as error:  # noqa: BLE001 - the plug-in boundary: what one could not judge, no other may act on
        words = f"detector {name} failed ({type(error).__name__}: {error}), so nothing is concluded"
        return Diagnosis("unknown", words)


def _of_canary(look: Look, facts: Facts) -> Diagnosis:
    canary = look.canary
    if canary is None:
        return Diagnosis("unknown", "/health is ok, but no canary was sent")
    if canary.applicable and canary.ok:
        return Diagnosis("none", f"it looks well: /health is ok and the canary answered in {canary.seconds:.1f} s")
    moving = _moving_words(look, facts)
    if moving and canary.applicable:
        return Diagnosis("none", f"busy: no output, but {moving}")
    if canary.applicable:
        failed = f"/health is ok and the canary failed ({canary.detail or 'no answer'})"
        return Diagnosis("unknown", f"{failed}; {_stall_words(facts)}")
    if moving:
        return Diagnosis("none", f"it looks well: /health is ok and {moving}; a canary does not apply to it")
    return Diagnosis("unknown", "/health is ok; a canary does not apply to it, and no progress is shown")


def _moving_words(look: Look, facts: Facts) -> str:
    """Words for how it is known that the engine moves, or ''."""
    signals = facts.signals
    if moved(facts.earlier, look):
        return "an engine value changed while it was looked at"
    if signals is None or fresh(signals.stalled, facts.max_signal_age) == 1:
        return ""
    age, limit = fresh(signals.progress_age, facts.max_signal_age), fresh(signals.stall_limit, facts.max_signal_age)
    moving = age is not None and limit is not None and age < limit
    return f"an engine value, such as KV usage, changed {age:.0f} s ago (limit {limit:.0f} s)" if moving else ""


def _stall_words(facts: Facts) -> str:
    if facts.signals is None or facts.blind:
        return _blind_words(facts) or "Prometheus said nothing about it"
    if facts.signals.stalled is None:
        return "whether it is stalled is not known (its progress is not published)"
    if facts.signals.stalled.age > facts.max_signal_age:
        return f"what Prometheus knows is {facts.signals.stalled.age:.0f} s old"
    return "a canary alone proves no hang, and the exporter does not call it stalled"


def _health_words(look: Look, facts: Facts) -> str:
    health, said = look.health, f" ({look.detail})" if look.detail else ""
    if health is Health.TIMEOUT:
        return "/health did not answer in time: a busy server is slow, not dead, so nothing is concluded from it"
    if health is Health.OTHER:
        return f"/health answered neither 200 nor 503{said}: a proxy, or not vLLM"
    if health is Health.GATEWAY:
        return f"/health is {health.value}{said}: a proxy's word is not vLLM's; let `url` name the server itself"
    if health in (Health.UNHEARD, Health.UNREACHABLE) and facts.supervisor is not None:
        state = facts.supervisor.state.value
        return f"/health is {health.value}{said} while the supervisor says {state}: nothing is concluded from it"
    if facts.supervisor is None:
        return f"/health is {health.value}; {_blind_words(facts) or 'the supervisor was not asked'}"
    state = facts.supervisor.state
    if state is RunState.EXITED:
        return f"/health is {health.value}: it exited, and its supervisor restarts what exits"
    return f"/health is {health.value} while the supervisor says {state.value}: it may be on its way out; looking again"


def _blind_words(facts: Facts) -> str:
    return "blind: " + "; ".join(facts.blind) if facts.blind else ""
