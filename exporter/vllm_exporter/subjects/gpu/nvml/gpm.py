"""GPM: how busy multiprocessors, tensor cores and memory are, of Hopper and newer, by two samples and their difference.

nvmlGpmMetricsGet_t is version, count, two samples, then 40 bytes a metric: id, code, value, three pointers to names
that the driver fills. GPM does not take the lock that profilers need (NVIDIA/DCGM#62).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vllm_exporter.subjects.gpu.nvml.calls import GPM
from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.library import Function, Library
from vllm_exporter.subjects.gpu.nvml.memory import Memory

FUNCTION = "nvmlGpmMetricsGet"
GROUP = "gpm"  # of pieces: when one fails all of a device fall
MIN_GAP = 0.1  # seconds between two samples: the driver's own refresh
METRICS = 478  # that the driver's struct has room for
SIZE = 24 + 40 * METRICS

_HEAD = struct.Struct("=IIQQ")
_METRIC = struct.Struct("=II32x")


@dataclass(frozen=True)
class GpmProbe:
    """One GPU or MIG instance with two samples, which take turns in being the newer."""

    device: Device
    samples: tuple[Any, Any]

    @property
    def sampler(self) -> str:
        return "nvmlGpmSampleGet" if self.device.parent is None else "nvmlGpmMigSampleGet"

    def take(self, function: Function, turn: int) -> Callable[[], int]:
        """The call of `sampler` that takes a sample."""
        if self.device.parent is None:
            return partial(function, self.device.handle, self.samples[turn])
        return partial(function, self.device.parent, self.device.instance, self.samples[turn])

    def head(self, turn: int, metrics: int) -> bytes:
        older, newer = (ctypes.cast(self.samples[at], ctypes.c_void_p).value or 0 for at in (1 - turn, turn))
        return _HEAD.pack(1, metrics, older, newer)


def make_probes(library: Library, devices: Sequence[Device]) -> Iterator[GpmProbe]:
    """Of the devices that have GPM: a split GPU is read by its instances. Raises Lost and Gone."""
    if library.function(FUNCTION) is None:
        return
    for device in devices:
        if device.split:
            continue
        whole = device.handle if device.parent is None else device.parent
        support = library.ask(device.uuid, "nvmlGpmQueryDeviceSupport", whole)
        if not support or not support.isSupportedDevice:
            continue
        first = library.ask(device.uuid, "nvmlGpmSampleAlloc")
        second = library.ask(device.uuid, "nvmlGpmSampleAlloc")
        if first is not None and second is not None:
            yield GpmProbe(device, (first, second))


def free_probes(library: Library, probes: Sequence[GpmProbe]) -> None:
    """Whatever the driver answers: there is nothing else to do."""
    free = library.function("nvmlGpmSampleFree")
    for probe in probes:
        for sample in probe.samples:
            if free is not None:
                free(sample)


def wanted_metrics(library: Library, uuid: str) -> list[int]:
    """Without those that the driver has refused."""
    return [one for one in GPM if not library.refused(uuid, metric_name(one))]


def place_metrics(memory: Memory, probe: GpmProbe, turn: int, metrics: Sequence[int]) -> tuple[int, int]:
    """The struct's offset, and the index of its first number: of each metric its code and its value."""
    preset = probe.head(turn, len(metrics)) + b"".join(_METRIC.pack(one, 0) for one in metrics)
    offset = memory.place(SIZE, preset)
    return offset, memory.read(offset, "24x" + "4xid24x" * len(metrics))


def metric_name(metric: int) -> str:
    """For error counters."""
    return f"{FUNCTION}({metric})"
