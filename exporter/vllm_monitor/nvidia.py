"""One reading of one GPU by NVIDIA's own Python module, where it is installed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuReading:
    """Utilisation in percent, memory in bytes."""

    utilization: float
    memory_used: float
    memory_total: float


def read_gpu(index: int) -> GpuReading | None:
    """Returns the reading of a GPU, or None where there is no GPU of that index, no driver, or no module."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return GpuReading(
            float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu), float(memory.used), float(memory.total)
        )
    except pynvml.NVMLError:
        return None
