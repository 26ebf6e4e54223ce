"""Start hung: a start that has taken longer than it may and stands in one of its phases, as after a restart of ours.

A start that is slow and proceeds from phase to phase is waited for, however long it takes (see `engine_dead`): a healer
that kills those keeps a server from ever coming up.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.detectors.engine_dead import NOT_YET, PHASE, PROCEEDS, in_phase, incarnation_age
from vllm_healer.model import ALIVE, NO_INCARNATION, Diagnosis, Facts, Health, Incident

DEAF = NOT_YET | {Health.TIMEOUT}  # one that listens before it can answer


class StartHung(Detector):
    """Wants a process that was never ready, older than a start may take, and a phase that does not end."""

    alerts = frozenset({"VllmDown"})
    destructive_may_help = True
    series = frozenset({PHASE})
    order = 18  # before engine_dead, which does not know the phase

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        look, supervisor, target = facts.look, facts.supervisor, facts.target
        if look is None or supervisor is None or target is None or facts.was_ready or look.health not in DEAF:
            return None
        if supervisor.state not in ALIVE or supervisor.incarnation.key == NO_INCARNATION.key:
            return None
        age, phase = incarnation_age(facts), in_phase(facts)
        if age < target.start_timeout or phase is None or phase < PROCEEDS:
            return None
        pid, allowed = supervisor.incarnation.pid, target.start_timeout
        words = f"the start of pid {pid} has stood in one phase for {phase:.0f} s, {age:.0f} s after it was first seen"
        person = "`vllm-exporter status` names the phase; read the last lines of its log, and look at disk and network"
        allowed_words = f"{words} ({allowed:.0f} s allowed); /health is {look.health.value}"
        return Diagnosis("start_hung", allowed_words, self.supporting(incident), person)
