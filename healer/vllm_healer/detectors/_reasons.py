"""The shape of most failure modes: an alert tells of it, one sentence says what is broken, another what to do.

A mode explains what another detector finds (`Reason`), or is a trouble of a server that answers (`Trouble`). Either way
the alert alone is never enough: of what happened minutes ago a server may have recovered, or it died of something else.
"""

from __future__ import annotations

from typing import ClassVar

from vllm_healer.detector import Detector
from vllm_healer.detectors.api_server_frozen import ApiServerFrozen
from vllm_healer.detectors.engine_dead import EngineDead
from vllm_healer.detectors.engine_stalled import EngineStalled
from vllm_healer.model import Diagnosis, Facts, Health, Incident
from vllm_healer.progress import fresh

DEATHS: tuple[Detector, ...] = (EngineDead(),)
HANGS: tuple[Detector, ...] = (EngineStalled(), ApiServerFrozen())


class FailureMode(Detector):
    """A cause that is named as its failure mode in prometheus/failure_modes.yml."""

    broken: ClassVar[str]  # what is broken, as the end of a sentence
    person: ClassVar[str]  # what a person does about it

    def mode(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def suspected(self, incident: Incident, facts: Facts) -> bool:
        return self.told(facts)

    def told(self, facts: Facts) -> bool:
        """True while an alert tells of it, by a fresh sample."""
        return facts.signals is not None and fresh(facts.signals.faults.get(self.mode()), facts.max_signal_age) == 1


class Reason(FailureMode):
    """The reason for what another detector finds: a death, or a hang. It takes its evidence over.

    Where nothing destructive may help, it keeps what the other finds from being healed in vain.
    """

    finds: ClassVar[tuple[Detector, ...]] = DEATHS  # the detectors that it explains
    alerts = frozenset({"VllmDown", "VllmEngineStalled", "VllmApiServerFrozen"})
    order = 14

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        if not self.told(facts):
            return None
        found = next(filter(None, (each.detect(incident, facts) for each in self.finds)), None)
        if found is None or found.cause == "starting":
            return None
        return Diagnosis(self.mode(), f"{self.broken}: {found.evidence}", found.supporting_alerts, self.person)


class FailedStart(Reason):
    """A reason why starts fail, which the next start would meet as well: only a person can remove it.

    The alert tells of it for minutes, so the newest process must not be one that had come up in spite of it.
    """

    destructive_may_help = False
    order = 12

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        return None if facts.was_ready or facts.last_was_ready else super().detect(incident, facts)


class Trouble(FailureMode):
    """A trouble of a server that answers /health. Nothing destructive is done: it serves."""

    order = 60  # after what hangs or has too much to do

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        if facts.look is None or facts.look.health is not Health.OK or not self.told(facts):
            return None
        return Diagnosis(self.mode(), f"{self.broken}; /health is ok", frozenset(), self.person)
