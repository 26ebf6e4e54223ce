"""Overload: more work than the server can do, and it is doing it.

Never a reason to restart: the queue would be lost, and a cold cache is slower still.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.model import Diagnosis, Facts, Health, Incident, Look, Signals
from vllm_healer.progress import fresh, moved

QUEUE_LIMIT = 100  # waiting requests; the same number as the alert VllmQueueOverload


class Overload(Detector):
    """Finds a long queue, or a /health that comes too late, on a server that still makes progress."""

    alerts = frozenset({"VllmQueueOverload"})
    destructive_may_help = False  # a restart loses the queue, and the next server gets its load
    order = 40

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        if facts.signals is None or not progresses(facts, facts.signals):
            return None
        waiting = fresh(facts.signals.waiting, facts.max_signal_age)
        alerted = any(alert.name in self.alerts for alert in incident.alerts)
        if not alerted and (waiting is None or waiting <= QUEUE_LIMIT):
            return None
        return Diagnosis("overload", evidence(waiting, facts.signals, facts), self.supporting(incident))


def progresses(facts: Facts, signals: Signals) -> bool:
    """True at any fresh sign of progress; without one, a long queue may as well be a hang."""
    look = facts.look
    if look is not None and (moved(facts.earlier, look) or answered(look)):
        return True
    age, limit = fresh(signals.progress_age, facts.max_signal_age), fresh(signals.stall_limit, facts.max_signal_age)
    if age is not None and limit is not None:
        return age < limit
    return fresh(signals.stalled, facts.max_signal_age) == 0


def answered(look: Look) -> bool:
    return look.canary is not None and look.canary.applicable and look.canary.ok


def evidence(waiting: float | None, signals: Signals, facts: Facts) -> str:
    queue = "the queue is long" if waiting is None else f"{waiting:.0f} requests wait (limit {QUEUE_LIMIT})"
    age = fresh(signals.progress_age, facts.max_signal_age)
    moving = "the engine works" if age is None else f"an engine value changed {age:.0f} s ago"
    late = "; /health is late" if facts.look is not None and facts.look.health is Health.TIMEOUT else ""
    return f"{queue} and {moving}{late}"
