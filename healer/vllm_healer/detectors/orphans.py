"""Orphans: engine or worker processes that outlived their API server and hold its memory.

Asked first: a start that fails for want of memory is their consequence, and restarting again would not help.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.model import Diagnosis, Facts, Incident, ProcessRef

SHOWN = 4  # processes named in the evidence; a large tensor-parallel tree would fill the page


class Orphans(Detector):
    """Believes only the supervisor's view, which compares pid and start time with what was recorded at launch."""

    alerts = frozenset({"VllmProcessOrphaned", "VllmDown"})
    destructive_may_help = True
    order = 10

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        if facts.supervisor is None or not facts.supervisor.orphans:
            return None
        return Diagnosis("orphans", evidence(facts.supervisor.orphans), self.supporting(incident))


def evidence(orphans: tuple[ProcessRef, ...]) -> str:
    named = ", ".join(f"{process.role} pid {process.pid}" for process in orphans[:SHOWN])
    more = f" and {len(orphans) - SHOWN} more" if len(orphans) > SHOWN else ""
    noun = "process outlived its" if len(orphans) == 1 else "processes outlived their"
    return f"{len(orphans)} {noun} API server: {named}{more}"
