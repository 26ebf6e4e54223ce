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

# A dead engine answers 503 for up to 4.6 s and its process is gone after 5.1 s (measured on vLLM 0.32); twice that is
# long enough to know that it does not exit by itself.
EXITS_WITHIN = 10.0

DOWN = frozenset({Health.REFUSED, Health.UNAVAILABLE})


class EngineDead(Detector):
    """Wants own look and supervisor to agree. A /health that times out is a busy server, not a dead one."""

    alerts = frozenset({"VllmDown"})
    destructive_may_help = True
    order = 20

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        look, supervisor, target = facts.look, facts.supervisor, facts.target
        if look is None or supervisor is None or target is None or look.health not in DOWN:
            return None
        watched = elapsed(incident.opened, facts.now)
        age = incarnation_age(facts)
        if not facts.was_ready and starting(look, supervisor, age, target):
            return Diagnosis("starting", starting_words(supervisor, age, target), self.supporting(incident))
        words = dead_words(look, supervisor, age, watched, target)
        return Diagnosis("engine_dead", words, self.supporting(incident)) if words else None


def incarnation_age(facts: Facts) -> float | None:
    """The seconds since this incarnation started, as the supervisor tells; else since the healer first saw it."""
    started = facts.supervisor.incarnation.started if facts.supervisor else 0.0
    began = started or facts.seen_at
    return None if began is None else max(0.0, facts.now.wall - began)


def starting(look: Look, supervisor: SupervisorView, age: float | None, target: Target) -> bool:
    """True if it may still be starting: connections are refused then, never 503. An unknown age counts as young."""
    if look.health is not Health.REFUSED or supervisor.state not in ALIVE:
        return False
    if supervisor.incarnation.key == NO_INCARNATION.key:
        return supervisor.state is RunState.STARTING  # between two tries of the supervisor
    return age is None or age < target.start_timeout


def starting_words(supervisor: SupervisorView, age: float | None, target: Target) -> str:
    if supervisor.incarnation.key == NO_INCARNATION.key:
        return f"the supervisor is starting it again ({supervisor.detail or 'no process yet'})"
    since = "an unknown time" if age is None else f"{age:.0f} s"
    return f"pid {supervisor.incarnation.pid} has been starting for {since} of {target.start_timeout:.0f} s allowed"


def dead_words(look: Look, supervisor: SupervisorView, age: float | None, watched: float, target: Target) -> str:
    """The evidence of a death that nobody repairs, or '' while it may still repair itself."""
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
    return f"{health}, {_alive_words(look, supervisor, age, watched, target)}"


def _alive_words(look: Look, supervisor: SupervisorView, age: float | None, watched: float, target: Target) -> str:
    pid = supervisor.incarnation.pid
    if look.health is Health.UNAVAILABLE:
        return f"the engine is dead and pid {pid} has not exited for {watched:.0f} s"
    late = f"start did not finish in {target.start_timeout:.0f} s, or it stopped listening since"
    return f"pid {pid} has run for {age or 0.0:.0f} s: {late}"
