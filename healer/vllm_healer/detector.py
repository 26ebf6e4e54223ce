"""The base of detectors. One more is a file in detectors/, its test, and its page in docs/detectors/."""

from __future__ import annotations

from typing import ClassVar

from vllm_healer.model import Diagnosis, Facts, Incident


class Detector:
    """Recognises one cause. Its module's name is the cause: in the journal, in lessons, in `Remediation.causes`.

    `detect` is pure: it may look at nothing but its arguments. It is only called with a listed target.
    """

    alerts: ClassVar[frozenset[str]] = frozenset()  # alert names that support an action on this cause
    hints: ClassVar[frozenset[str]] = frozenset()  # names of those that support none, and are a reason to look for it
    destructive_may_help: ClassVar[bool] = False  # True: the guard lets a destructive remediation answer this cause
    series: ClassVar[frozenset[str]] = frozenset()  # series with the label `server` to be read into facts.signals.more
    order: ClassVar[int] = 100  # lower is asked first, and the first that recognises its cause wins

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        """The cause with its evidence in words and numbers, or None when it is another."""
        raise NotImplementedError

    def suspected(self, incident: Incident, facts: Facts) -> bool:
        """True if it is worth a word when it is ruled out: an alert of the incident might mean it."""
        return bool(self.supporting(incident))

    def supporting(self, incident: Incident) -> frozenset[str]:
        """The names of the incident's alerts that support an action. An alert labelled healable="false" never does."""
        healable = {alert.name for alert in incident.alerts if alert.healable}
        return self.alerts & healable
