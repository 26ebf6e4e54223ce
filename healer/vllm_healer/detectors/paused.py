"""Paused: somebody paused the scheduler and it waits to be resumed. A weight update looks like that for minutes."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailureMode
from vllm_healer.model import Diagnosis, Facts, Incident


class Paused(FailureMode):
    """Believes the server itself, which is asked directly. Whoever paused it may still need it so."""

    order = 27  # before a stall, which it looks like
    broken = "it is paused: someone sent /pause or /sleep, and new requests wait"
    person = "only who paused it should resume it: ask who updates weights, then POST /resume or /wake_up"

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        if facts.look is None or facts.look.paused is not True:
            return None
        return Diagnosis(self.mode(), self.broken, frozenset(), self.person)
