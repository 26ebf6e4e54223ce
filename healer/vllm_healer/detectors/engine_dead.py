"""Engine dead: the server is gone, or its engine is, and nobody is bringing it back.

What the supervisor is still starting is the cause 'starting': it is waited for, not restarted. A process that was ready
once is not starting: an API server whose engine died may wait for its clients for minutes before it exits.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.elapsed import elapsed
from vllm_healer.model import (
    ALIVE,
    ENDED,
    NO_INCARNATION,
    Diagnosis,
    Facts,
    Health,
    Incident,
    Look,
    RunState,
    SupervisorView,
    Target,
)
from vllm_healer.presence import serves_nobody
from vllm_healer.progress import fresh

# A dead engine answers 503 for up to 4.6 s and its process is gone after 5.1 s (measured on vLLM 0.32); twice that is
# long enough to know that it does not exit by itself.
EXITS_WITHIN = 10.0

# The seconds for which a start has been in its present phase. One that proceeds is slow, not hung.
PHASE = "server:vllm_start_phase_seconds:max"
PROCEEDS = 300.0  # seconds in one phase; the longest but loading weights take a minute or two on GPUs

# Answers that a start may give: nobody listens yet, or what stands before it says so.
NOT_YET = frozenset({Health.REFUSED, Health.UNHEARD, Health.UNAVAILABLE, Health.GATEWAY})


class EngineDead(Detector):
    """Wants own look and supervisor to agree. A /health that times out is a busy server, not a dead one."""

    alerts = frozenset({"VllmDown"})
    destructive_may_help = True
    series = frozenset({PHASE})
    order = 20

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        look, supervisor, target = facts.look, facts.supervisor, facts.target
        if look is None or supervisor is None or target is None:
            return None
        age = incarnation_age(facts)
        if not facts.was_ready and starting(look, supervisor, age, target, in_phase(facts)):
            return Diagnosis("starting", starting_words(supervisor, age, target), self.supporting(incident))
        if not serves_nobody(look, supervisor):
            return None
        watched = elapsed(incident.opened, facts.now)
        late = f"start did not finish in {target.start_timeout:.0f} s, or it stopped listening since"
        late = "it was ready and stopped listening" if facts.was_ready else late
        words = dead_words(look, supervisor, watched, f"has run for {age:.0f} s and more: {late}")
        return Diagnosis("engine_dead", words, self.supporting(incident)) if words else None


def incarnation_age(facts: Facts) -> float:
    """The seconds since the healer first saw this incarnation, by the clock that nobody sets. It is at least as old.

    The start that a supervisor tells is a wall time: a clock that was set since, as at boot, would make it any age.
    """
    return elapsed(facts.first_seen, facts.now) if facts.first_seen is not None else 0.0


def in_phase(facts: Facts) -> float | None:
    """The seconds that it has been in its present phase, by the exporter; None where that is not known."""
    return fresh(facts.signals.more.get(PHASE), facts.max_signal_age) if facts.signals is not None else None


def starting(look: Look, supervisor: SupervisorView, age: float, target: Target, phase: float | None) -> bool:
    """True if it may still be starting. Its engine cannot have died before it was ready: a 503 is a start's, too.

    `phase`: seconds in its present phase. A start that takes longer than allowed and proceeds is left to end.
    """
    if look.health not in NOT_YET or supervisor.state not in ALIVE:
        return False
    if supervisor.incarnation.key == NO_INCARNATION.key:
        return supervisor.state is RunState.STARTING  # between two tries of the supervisor
    return age < target.start_timeout or (phase is not None and phase < PROCEEDS)


def starting_words(supervisor: SupervisorView, age: float, target: Target) -> str:
    if supervisor.incarnation.key == NO_INCARNATION.key:
        return f"the supervisor is starting it again ({supervisor.detail or 'no process yet'})"
    pid, allowed = supervisor.incarnation.pid, target.start_timeout
    late = "; it takes longer than that, and proceeds" if age >= allowed else ""
    return f"pid {pid} has been starting for {age:.0f} s of {allowed:.0f} s allowed, since it was first seen{late}"


def dead_words(look: Look, supervisor: SupervisorView, watched: float, deaf: str) -> str:
    """The evidence of a death that nobody repairs, or '' while it may still repair itself.

    `deaf` is what a process does that runs and is not heard of.
    """
    health = f"/health is {look.health.value}"
    if supervisor.state in ENDED:
        itself = supervisor.state is RunState.EXITED and supervisor.restarts_itself is True
        return "" if itself and watched < EXITS_WITHIN else f"{health} and the supervisor says {supervisor.state.value}"
    if supervisor.state not in ALIVE:
        return ""
    if watched < EXITS_WITHIN:
        return ""
    if supervisor.incarnation.key == NO_INCARNATION.key:
        return f"{health} and no process is there, though the supervisor says {supervisor.state.value}"
    pid = supervisor.incarnation.pid
    if look.health is Health.UNAVAILABLE:
        return f"{health}, the engine is dead and pid {pid} has not exited for {watched:.0f} s"
    return f"{health}, pid {pid} {deaf}"
