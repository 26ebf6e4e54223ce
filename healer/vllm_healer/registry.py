"""The plug-ins that are there, one instance of each, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import vllm_healer.detectors
import vllm_healer.remediations
from vllm_healer.detector import Detector
from vllm_healer.errors import PluginError
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


def merge_series(known: Detectors) -> dict[str, str]:
    """{name in Signals.more: series} of all detectors. Raises PluginError when two mean different series by a name."""
    merged: dict[str, str] = {}
    for detector in known.values():
        for name, series in detector.series.items():
            if merged.setdefault(name, series) != series:
                raise PluginError(f"two detectors call a series {name!r}: {merged[name]} and {series}; rename one")
    return merged
