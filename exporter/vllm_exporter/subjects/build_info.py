"""The version of the exporter, and the number of its targets."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from vllm_exporter import __version__
from vllm_exporter.metrics.family import Family, Sample
from vllm_exporter.run.collector import Collector

EXPORTER_BUILD_INFO = Family(
    "vllm_exporter_build_info", "gauge", "Always 1; the labels say which exporter runs.", ("version", "python")
)
EXPORTER_TARGETS = Family("vllm_exporter_targets", "gauge", "Number of vLLM servers that are configured.")


class BuildInfoCollector(Collector):
    """The exporter's version and the number of its targets."""

    metrics = (EXPORTER_BUILD_INFO, EXPORTER_TARGETS)
    interval = 60.0  # neither changes while it runs

    def collect(self) -> Iterator[Sample]:
        yield EXPORTER_BUILD_INFO.sample(1, version=__version__, python=".".join(map(str, sys.version_info[:3])))
        yield EXPORTER_TARGETS.sample(len(self.context.config.targets))
