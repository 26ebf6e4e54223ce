"""What a detector is. Adding one is one file in detectors/, its test, and its page in docs/detectors/."""

from __future__ import annotations

from typing import ClassVar

from vllm_healer.model import Diagnosis, Facts, Incident, Look, Signal


class Detector:
    """Recognises one cause. Its module's name is the cause: in the journal, in lessons, in `Remediation.causes`.

    `detect` is pure: it may look at nothing but its arguments. It is only called with a listed target.
    """

    alerts: ClassVar[frozenset[str]] = frozenset()  # alert names that support an action on this cause
    order: ClassVar[int] = 100  # lower is asked first, and the first that recognises its cause wins

    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        """The cause with its evidence in words and numbers, or None when it is not this."""
        raise NotImplementedError

    def supporting(self, incident: Incident) -> frozenset[str]:
        """Those of the incident's alerts that support an action: an alert labelled healable="false" never does."""
        healable = {alert.name for alert in incident.alerts if alert.labels.get("healable") != "false"}
        return self.alerts & healable


def fresh(signal: Signal | None, max_age: float) -> float | None:
    """The signal's value, or None when it is absent or too old to be evidence."""
    return signal.value if signal is not None and signal.age <= max_age else None


def moved(earlier: Look | None, look: Look) -> bool:
    """Whether an engine-pushed value changed since an earlier look, or while this look's canary waited."""
    values = (earlier.work if earlier is not None else None, look.work_before, look.work)
    return len({shown for shown in values if shown is not None}) > 1
