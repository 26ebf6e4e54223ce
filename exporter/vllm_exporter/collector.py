"""What a collector is. Adding one is one file in collectors/, its test, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vllm_exporter.config import Config
from vllm_exporter.family import Family, Sample
from vllm_exporter.ports import Clock


@dataclass(frozen=True)
class Context:
    """What a collector may use: everything that varies is passed in, so that tests can replace it."""

    config: Config
    clock: Clock
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


class Collector:
    """Reads one subject. Its module's name is its name: in `vllm_exporter list`, in exporter.yml and in labels.

    `collect` runs in a thread of its own, every `interval` seconds, never in a scrape. It yields samples of `metrics`
    only. It raises NoData when its subject is not there (healthy, and said in its own metric) and SourceError when it
    should be and is not; any other exception counts as failed too. What it yielded before raising is dropped.
    """

    metrics: ClassVar[tuple[Family, ...]] = ()
    default_enabled: ClassVar[bool] = True
    interval: ClassVar[float] = 1.0  # seconds

    def __init__(self, context: Context) -> None:
        self.context = context

    def collect(self) -> Iterator[Sample]:
        raise NotImplementedError

    def close(self) -> None:
        """Ends threads and connections; called once, at shutdown."""
