"""GPM: how busy multiprocessors, tensor cores and memory are, of Hopper and newer, by two samples and their difference.

nvmlGpmMetricsGet_t is version, count, two samples, then 40 bytes a metric: id, code, value, three pointers to names
that the driver fills. GPM does not take the lock that profilers need (NVIDIA/DCGM#62).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vllm_exporter.subjects.gpu.nvml.calls import GPM
from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.library import Library

FUNCTION = "nvmlGpmMetricsGet"
MIN_GAP = 0.1  # seconds between two samples: the driver's own refresh
METRICS = 478  # metrics for which the driver's struct has room
SIZE = 24 + 40 * METRICS

_HEAD = struct.Struct("=IIQQ")
_METRIC = struct.Struct("=II32x")
_ANSWER = struct.Struct("=4xid24x")  # code and value


@dataclass
class GpmProbe:
    """One GPU or MIG instance with two samples of the driver, which take turns in being the newer."""

    device: Device
    samples: list[Any]  # the older one first
    taken: int = 0
    taken_at: float = 0.0  # monotonic seconds, of the newer one
    values: dict[int, float] = field(default_factory=dict)  # of the last two samples, by metric

    @property
    def sampler(self) -> str:
        return "nvmlGpmSampleGet" if self.device.parent is None else "nvmlGpmMigSampleGet"


def make_probes(library: Library, devices: Sequence[Device]) -> Iterator[GpmProbe]:
    """Yields a probe per device with GPM; a split GPU is read by its instances. Raises Lost and Gone."""
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
            yield GpmProbe(device, [first, second])


def free_probes(library: Library, probes: Sequence[GpmProbe]) -> None:
    """Frees the samples, whatever the driver answers: there is nothing else to do."""
    free = library.function("nvmlGpmSampleFree")
    for probe in probes:
        for sample in probe.samples:
            if free is not None:
                free(sample)


def read_metrics(library: Library, probe: GpmProbe, now: float, out: set[str]) -> dict[int, float]:
    """Returns value by metric: the last values while the samples are too close, none before there are two.

    A failure is counted and added to `out`, whose calls are not made. Raises Lost and Gone.
    """
    if probe.taken and now - probe.taken_at < MIN_GAP:
        return probe.values
    probe.values = {}
    if not _take_sample(library, probe, out):
        return probe.values
    probe.taken += 1
    probe.taken_at = now
    if probe.taken > 1:
        probe.values = _compare(library, probe, out)
    return probe.values


def _take_sample(library: Library, probe: GpmProbe, out: set[str]) -> bool:
    device = probe.device
    function = library.function(probe.sampler)
    if function is None or probe.sampler in out or library.refused(device.uuid, probe.sampler):
        return False
    if library.refused(device.uuid, FUNCTION):
        return False
    probe.samples.reverse()
    where = (device.handle,) if device.parent is None else (device.parent, device.instance)
    code = function(*where, probe.samples[1])
    if code:
        out.add(probe.sampler)
        library.failed(device.uuid, probe.sampler, code)
    return not code


def _compare(library: Library, probe: GpmProbe, out: set[str]) -> dict[int, float]:
    uuid = probe.device.uuid
    metrics = [one for one in GPM if metric_name(one) not in out and not library.refused(uuid, metric_name(one))]
    function = library.function(FUNCTION)
    if function is None or not metrics or FUNCTION in out:
        return {}
    older, newer = (ctypes.cast(sample, ctypes.c_void_p).value or 0 for sample in probe.samples)
    preset = _HEAD.pack(1, len(metrics), older, newer) + b"".join(_METRIC.pack(one, 0) for one in metrics)
    memory = ctypes.create_string_buffer(preset, SIZE)
    if code := function(memory):
        out.add(FUNCTION)
        library.failed(uuid, FUNCTION, code)
        return {}
    found: dict[int, float] = {}
    answers = _ANSWER.iter_unpack(memory.raw[_HEAD.size : _HEAD.size + _ANSWER.size * len(metrics)])
    for metric, (code, value) in zip(metrics, answers, strict=True):
        if code:
            out.add(metric_name(metric))
            library.failed(uuid, metric_name(metric), code)
        else:
            found[metric] = value
    return found


def metric_name(metric: int) -> str:
    """Returns the name for error counters."""
    return f"{FUNCTION}({metric})"
