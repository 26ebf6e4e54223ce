"""Which processes compute on a GPU, with their memory and their share of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.library import NOT_FOUND, Library
from vllm_exporter.subjects.gpu.source import GpuProcess

# pynvml's name without a version is the first of these, and raises what is no NVMLError where a driver lacks it.
RUNNING = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")


class ProcessReader:
    """Remembers up to when shares were read: the driver keeps samples of the last seconds only."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}  # uuid to the driver's time in µs

    def read(self, library: Library, device: Device) -> list[GpuProcess]:
        """Of one GPU or MIG instance; of a split GPU none: its instances have them. Raises Lost and Gone."""
        if device.split:
            return []
        running = _running(library, device)
        if not running:
            return []
        return join_shares(device.gpu_id, running, self._shares(library, device))

    def _shares(self, library: Library, device: Device) -> dict[int, float]:
        """0 to 1 by pid; none of a MIG instance, which has no such samples."""
        if device.parent is not None:
            return {}
        name, since = "nvmlDeviceGetProcessUtilization", self._seen.get(device.uuid, 0)
        samples = library.ask(device.uuid, name, device.handle, since, quiet=(NOT_FOUND,)) or []
        self._seen[device.uuid] = max((int(one.timeStamp) for one in samples), default=since)
        return average_shares((int(one.pid), int(one.smUtil)) for one in samples)


def _running(library: Library, device: Device) -> Any:
    """pynvml's process infos."""
    for name in RUNNING:
        found = library.ask(device.uuid, name, device.handle)
        if found is not None:
            return found
    return None


def average_shares(samples: Iterable[tuple[int, int]]) -> dict[int, float]:
    """The mean of each process's samples, which are percentages. Values above 100 are what drivers give for nothing."""
    found: dict[int, list[int]] = {}
    for pid, percent in samples:
        if percent <= 100:
            found.setdefault(pid, []).append(percent)
    return {pid: sum(percents) / len(percents) / 100 for pid, percents in found.items()}


def join_shares(gpu_id: str, running: Iterable[Any], shares: Mapping[int, float]) -> list[GpuProcess]:
    """pynvml's process infos, once each. A process that had no kernel has no samples: 0 where others have some."""
    none = 0.0 if shares else None
    found: dict[int, GpuProcess] = {}
    for one in running:
        memory = None if one.usedGpuMemory is None else int(one.usedGpuMemory)
        found[int(one.pid)] = GpuProcess(gpu_id, int(one.pid), memory, shares.get(int(one.pid), none))
    return list(found.values())
