"""Chooses the driver's library: NVIDIA's, else AMD's. Each is imported only where it exists."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData
from vllm_exporter.subjects.gpu.source import GpuSource
from vllm_exporter.subjects.gpu.xids import XidLedger


def open_source(clock: Clock, ledger: XidLedger, path: str, gpm: bool, proc: Path = Path("/proc")) -> GpuSource:
    """Returns the source; the driver is not called yet. `path` is that of NVIDIA's library; XIDs go to the ledger.

    Raises NoData when there is neither library.
    """
    from vllm_exporter.subjects.gpu.nvml.library import load  # here: ctypes is 1 MiB that hosts without GPUs save

    try:
        load(path)
    except NoData as nothing:
        if importlib.util.find_spec("amdsmi") is None:
            raise NoData(f"{nothing}; and no module amdsmi for AMD's GPUs") from None
        from vllm_exporter.subjects.gpu.amd import AmdSource  # here: see above

        return AmdSource(clock, proc)
    from vllm_exporter.subjects.gpu.nvml.driver import NvmlSource  # here: see above

    return NvmlSource(clock, ledger, path, gpm, proc=proc)
