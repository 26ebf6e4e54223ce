"""The plug-ins that are there, one instance of each, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import vllm_healer.detectors
import vllm_healer.remediations
from vllm_healer.detector import Detector
from vllm_healer.plugins import load
from vllm_healer.remediation import Remediation

Detectors = Mapping[str, Detector]
Remediations = Mapping[str, Remediation]


@cache
def detectors() -> Detectors:
    """The detectors in the order in which they are asked: by `order`, then by name."""
    loaded = {name: cls() for name, cls in load(vllm_healer.detectors, Detector).items()}
    return dict(sorted(loaded.items(), key=lambda item: (item[1].order, item[0])))


@cache
def remediations() -> Remediations:
    """The remediations by name."""
    return {name: cls() for name, cls in load(vllm_healer.remediations, Remediation).items()}


def alerts() -> frozenset[str]:
    """The names of alerts that support an action on some cause."""
    return frozenset(name for detector in detectors().values() for name in detector.alerts)


def hints() -> frozenset[str]:
    """The names of alerts that are a reason to look for some cause, and support no action."""
    return frozenset(name for detector in detectors().values() for name in detector.hints)


def series() -> frozenset[str]:
    """The series of Prometheus that detectors read beyond those of every decision."""
    return frozenset(name for detector in detectors().values() for name in detector.series)
