"""API server frozen: its process lives and does nothing, so that nobody is answered, whatever the engine does.

Stopped (SIGSTOP), an event loop that a handler blocks, a call into C that never returns the interpreter's lock. A
saturated server looks alike from outside: it answers late, too. But it ticks and computes, so silence alone proves
nothing: the part inside vLLM must have missed every tick, or the process must have been seen to be motionless.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.model import ALIVE, NO_INCARNATION, Diagnosis, Facts, Health, Incident, SupervisorView
from vllm_healer.progress import MOTIONLESS, SILENT, SILENT_LIMIT, fresh


class ApiServerFrozen(Detector):
    """Wants the own look unanswered, a process that was ready once, and proof that it does not tick or compute."""

    alerts = frozenset({"VllmApiServerFrozen"})
    destructive_may_help = True
    series = frozenset({SILENT, SILENT_LIMIT, MOTIONLESS})
    order = 25

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        look, supervisor = facts.look, facts.supervisor
        if look is None or look.health is not Health.TIMEOUT or supervisor is None or not facts.was_ready:
            return None
        if supervisor.state not in ALIVE or supervisor.incarnation.key == NO_INCARNATION.key or is_one_of(supervisor):
            return None
        words = proof(facts)
        pid = supervisor.incarnation.pid
        said = f"{words}, though pid {pid} lives; /health got no answer"
        return Diagnosis("api_server_frozen", said, self.supporting(incident)) if words else None


def is_one_of(supervisor: SupervisorView) -> bool:
    """True if it has several API servers. Others may serve, or be the saturated ones that do not answer."""
    return sum(process.role == "api_server" for process in supervisor.tree) > 1


def proof(facts: Facts) -> str:
    """Words for how it is known that it does nothing, or ''. The part inside vLLM is believed before any other."""
    if facts.signals is None:
        return ""
    more, age = facts.signals.more, facts.max_signal_age
    silent, limit = fresh(more.get(SILENT), age), fresh(more.get(SILENT_LIMIT), age)
    if SILENT in more:
        frozen = silent is not None and limit is not None and silent >= limit
        return f"its API server has done nothing for {silent:.0f} s (limit {limit:.0f} s)" if frozen else ""
    motionless = fresh(more.get(MOTIONLESS), age)
    if motionless is None:
        return ""
    return f"its API server has done nothing for {motionless:.0f} s and more, as seen from outside"
