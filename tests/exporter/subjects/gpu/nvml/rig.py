"""The driver's source on a fake clock, over the stand-in of tests/exporter/subjects/gpu/nvml_stub.c."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tests.exporter.fakes import FakeClock
from tests.exporter.subjects.gpu.stub import Stub
from vllm_exporter.facts.facts import GpuLink
from vllm_exporter.metrics.family import Row
from vllm_exporter.subjects.gpu.nvml.driver import NvmlSource
from vllm_exporter.subjects.gpu.source import GpuSnapshot
from vllm_exporter.subjects.gpu.xids import XidLedger

GIB = 1 << 30


class Rig:
    """A source with its clock. `cycle` lets a second pass and reads."""

    def __init__(self, stub: Stub, gpm: bool = True) -> None:
        self.clock = FakeClock()
        self.told: list[tuple[str, int]] = []
        self.ledger = XidLedger(self.clock, lambda gpu_id, code, _kind: self.told.append((gpu_id, code)))
        self.source = NvmlSource(self.clock, self.ledger, stub.path, gpm, event_wait=0.02)

    def cycle(self, seconds: float = 1.0) -> GpuSnapshot:
        self.clock.advance(seconds)
        self.source.read()
        assert self.source.snapshot is not None, self.source.closed_because
        return self.source.snapshot

    def fast(self) -> dict[tuple[str, ...], float]:
        """After two cycles, so that there are two samples of GPM."""
        self.cycle()
        return values(self.cycle().fast)

    def links(self, seconds: float = 10.0) -> tuple[GpuLink, ...]:
        """After as long as it takes until slow values are due."""
        links = self.cycle(seconds).links
        assert links is not None
        return links

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        return self.source.failures.counts

    def close(self) -> None:
        self.source.release()
        self.source.read()


class MakeRig(Protocol):
    """The fixture: what it makes is closed after the test."""

    def __call__(self, stub: Stub, gpm: bool = True) -> Rig: ...


def values(rows: Iterable[Row]) -> dict[tuple[str, ...], float]:
    """By the name without `vllm_gpu_`, and the label values."""
    return {(family.name.removeprefix("vllm_gpu_"), *labels): number for (family, labels), number in rows}
