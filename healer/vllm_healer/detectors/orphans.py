"""Orphans: engine or worker processes that outlived their API server and hold its memory.

Asked first: a start that fails for want of memory is their consequence, and restarting again would not help. A whole
server that outlived its supervisor is one too, once it serves nobody: it keeps memory and port from the supervised one.
"""

from __future__ import annotations

from vllm_healer.detector import Detector
from vllm_healer.detectors.engine_stalled import agrees
from vllm_healer.leftover import name_unsupervised
from vllm_healer.model import ALIVE, Diagnosis, Facts, Incident, ProcessRef, SupervisorView
from vllm_healer.presence import serves_nobody
from vllm_healer.progress import fresh, moved

SHOWN = 4  # processes named in the evidence; a large tensor-parallel tree would fill the page


class Orphans(Detector):
    """Believes only the supervisor's view, which compares pid and start time with what was recorded at launch."""

    alerts = frozenset({"VllmProcessOrphaned", "VllmDown", "VllmEngineStalled"})
    destructive_may_help = True
    order = 10

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        supervisor = facts.supervisor
        if supervisor is None:
            return None
        if supervisor.orphans:
            return Diagnosis("orphans", evidence(supervisor.orphans), self.supporting(incident))
        if supervisor.unsupervised and supervisor.state in ALIVE and serves_no_more(facts, supervisor):
            return Diagnosis("orphans", beside(supervisor), self.supporting(incident))
        return None


def serves_no_more(facts: Facts, supervisor: SupervisorView) -> bool:
    """True if nobody is served under the server's address, or it hangs, by the healer's own look."""
    look, signals = facts.look, facts.signals
    if look is None:
        return False
    stalled = signals is not None and fresh(signals.stalled, facts.max_signal_age) == 1
    hangs = stalled and agrees(look) and not moved(facts.earlier, look)
    return hangs or serves_nobody(look, supervisor)


def beside(supervisor: SupervisorView) -> str:
    named = name_unsupervised(supervisor.unsupervised)
    return f"{named}, beside the one that is supervised ({supervisor.state.value}), and serves nobody"


def evidence(orphans: tuple[ProcessRef, ...]) -> str:
    named = ", ".join(f"{process.role} pid {process.pid}" for process in orphans[:SHOWN])
    more = f" and {len(orphans) - SHOWN} more" if len(orphans) > SHOWN else ""
    noun = "process outlived its" if len(orphans) == 1 else "processes outlived their"
    return f"{len(orphans)} {noun} API server: {named}{more}"
