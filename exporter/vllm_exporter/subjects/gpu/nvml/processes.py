"""Reads the processes that compute on a GPU, with their memory and their share of its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.library import NOT_FOUND, Library
from vllm_exporter.subjects.gpu.source import GpuProcess

# pynvml's name without a version is the first of these, and raises another error than NVMLError if a driver lacks it.
RUNNING = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")


class ProcessReader:
    """Remembers up to when shares were read: the driver keeps samples of the last seconds only."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}  # uuid to the driver's time in µs

    def read(self, library: Library, device: Device) -> list[GpuProcess]:
        """Returns those of one GPU or MIG instance; none of a split GPU: its instances have them. Raises Lost, Gone."""
        if device.split:
            return []
        running = _running(library, device)
        if not running:
            return []
        return join_shares(device.gpu_id, running, self._shares(library, device))

    def _shares(self, library: Library, device: Device) -> dict[int, float]:
        """Returns shares, 0 to 1, by pid; none for a MIG instance, which has no such samples."""
        if device.parent is not None:
            return {}
        name, since = "nvmlDeviceGetProcessUtilization", self._seen.get(device.uuid, 0)
        samples = library.ask(device.uuid, name, device.handle, since, quiet=(NOT_FOUND,)) or []
        self._seen[device.uuid] = max((int(one.timeStamp) for one in samples), default=since)
        return average_shares((int(one.pid), int(one.smUtil)) for one in samples)


def _running(library: Library, device: Device) -> Any:
    """Returns pynvml's process infos; None when no version of the function answers."""
    for name in RUNNING:
        found = library.ask(device.uuid, name, device.handle)
        if found is not None:
            return found
    return None


def average_shares(samples: Iterable[tuple[int, int]]) -> dict[int, float]:
    """Returns the mean share of each process; samples are percentages. A value above 100 stands for none."""
    found: dict[int, list[int]] = {}
    for pid, percent in samples:
        if percent <= 100:
            found.setdefault(pid, []).append(percent)
    return {pid: sum(percents) / len(percents) / 100 for pid, percents in found.items()}


def join_shares(gpu_id: str, running: Iterable[Any], shares: Mapping[int, float]) -> list[GpuProcess]:
    """Returns each process once. A process that had no kernel has no samples: 0 where others have some."""
    none = 0.0 if shares else None
    found: dict[int, GpuProcess] = {}
    for one in running:
        memory = None if one.usedGpuMemory is None else int(one.usedGpuMemory)
        found[int(one.pid)] = GpuProcess(gpu_id, int(one.pid), memory, shares.get(int(one.pid), none))
    return list(found.values())
