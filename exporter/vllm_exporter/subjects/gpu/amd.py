"""Reads AMD's GPUs through amdsmi: the families that both makers have, under the same names.

Results and units of the functions are in amdsmi_interface.py of ROCm 7.0. Values that are missing are 'N/A' or the
largest number of their type. Functions that sleep (amdsmi_get_violation_status: a second) are not called.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData
from vllm_exporter.linux.meminfo import read_host_memory
from vllm_exporter.metrics.family import Family, Sample
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.source import CallFailures, Card, GpuProcess, GpuSnapshot

SLOW_SECONDS = 10.0
REOPEN_SECONDS = 60.0  # after a failure to open
NOT_SUPPORTED = 2  # amdsmi_status_t
MIB = 1 << 20
DEFECTS = (ValueError, LookupError, TypeError, AttributeError)  # amdsmi of a release that its library does not fit
PCIE_GENERATIONS = {2500: 1, 5000: 2, 8000: 3, 16000: 4, 32000: 5, 64000: 6}  # by MT/s of a lane
MICROWATTS_FROM = 100_000  # power caps are in µW, in early releases in W; no GPU draws 100 kW


@dataclass(frozen=True)
class AmdGpu:
    """A GPU, or a partition of one."""

    card: Card
    handle: Any

    @property
    def package(self) -> str:
        """Returns the address that the partitions of a GPU have in common: they differ by their functions."""
        return self.card.pci_address.rpartition(".")[0]


class AmdSource:
    """AMD's GPUs. `read` and `close` are for one thread. The cost of amdsmi's wrappers was not measured on a GPU."""

    def __init__(self, clock: Clock, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self.failures = CallFailures()
        self.snapshot: GpuSnapshot | None = None
        self.missing: tuple[Card, ...] = ()  # the library stays open when no GPU answers
        self.closed_because = "the library has not been opened yet"
        self._clock = clock
        self._amdsmi: Any = None  # has no types
        self._gpus: tuple[AmdGpu, ...] = ()
        self._static: list[Sample] = []
        self._refused: set[tuple[str, str]] = set()
        self._with_memory: set[str] = set()  # packages of GPUs that said how much they have
        self._released = False
        self._open_at = 0.0

    def read(self) -> None:
        if self._released:
            self._shut("released on request: vllm-exporter holds nothing of the driver")
            return
        started = self._clock.monotonic()
        if self._amdsmi is None:
            if started < self._open_at:
                return
            try:
                self._open()
            except NoData as nothing:
                self._open_at = started + REOPEN_SECONDS
                self._shut(str(nothing))
                return
        self._read(started)

    def release(self) -> None:
        self._released = True

    def reopen(self) -> None:
        self._released, self._open_at = False, 0.0

    def close(self) -> None:
        self._shut("closed")

    def _open(self) -> None:
        """Raises NoData when the module cannot be loaded or finds no driver or GPU."""
        try:
            module = importlib.import_module("amdsmi")
        except (ImportError, OSError) as error:  # the module looks for its library when it is imported
            raise NoData(f"amdsmi cannot be loaded: {error}") from None
        try:
            module.amdsmi_init()
            handles = module.amdsmi_get_processor_handles()
        except module.AmdSmiException as error:
            self.failures.add("amdsmi_init", error_code(error))
            raise NoData(f"amdsmi finds no driver: {error}") from None
        if not handles:
            raise NoData("amdsmi finds no GPU that this process may use")
        self._amdsmi = module
        self._gpus = tuple(AmdGpu(self._card(index, handle), handle) for index, handle in enumerate(handles))
        self._static = [sample for gpu in self._gpus for sample in self._static_samples(gpu)]

    def _read(self, started: float) -> None:
        before = self.snapshot or GpuSnapshot(slow_at=started - SLOW_SECONDS)
        fast: list[Sample] = []
        cards: list[Card] = []
        for gpu in self._gpus:
            failed, samples = self.failures.total, list(self._fast_samples(gpu))
            fast += samples
            silent = not samples and self.failures.total > failed  # a GPU that supports nothing fails but once
            cards.append(replace(gpu.card, lost=silent))
        now = self._clock.monotonic()
        slow, slow_at, slow_seconds, processes = before.slow, before.slow_at, before.slow_seconds, before.processes
        if now - slow_at >= SLOW_SECONDS:
            more = [sample for gpu in self._gpus for sample in self._slow_samples(gpu)]
            slow = [*self._static, *more]
            processes = tuple(process for gpu in self._gpus for process in self._processes(gpu))
            slow_at = self._clock.monotonic()
            slow_seconds = slow_at - now
        self.closed_because = ""
        self.snapshot = GpuSnapshot(tuple(cards), fast, slow, processes, now, slow_at, now - started, slow_seconds)

    def _shut(self, why: str) -> None:
        if self._amdsmi is not None:
            self._ask(None, "amdsmi_shut_down")
        self._amdsmi, self.snapshot, self.closed_because = None, None, why

    def _card(self, index: int, handle: Any) -> Card:
        asic = self._read_parts(handle, "amdsmi_get_gpu_asic_info")
        return Card(
            gpu_id=str(index),
            uuid=known_text(self._ask(handle, "amdsmi_get_gpu_device_uuid")),
            name=known_text(asic.get("market_name")),
            pci_address=known_text(self._ask(handle, "amdsmi_get_gpu_device_bdf")).lower(),
        )

    def _static_samples(self, gpu: AmdGpu) -> Iterator[Sample]:
        ids = {"gpu_id": gpu.card.gpu_id}
        driver = self._read_parts(gpu.handle, "amdsmi_get_gpu_driver_info")
        vbios = self._read_parts(gpu.handle, "amdsmi_get_gpu_vbios_info")
        asic = self._read_parts(gpu.handle, "amdsmi_get_gpu_asic_info")
        yield names.GPU_INFO.sample(
            1,
            **ids,
            uuid=gpu.card.uuid,
            name=gpu.card.name,
            pci_address=gpu.card.pci_address,
            compute_capability=known_text(asic.get("target_graphics_version")),
            driver_version=known_text(driver.get("driver_version")),
            cuda_version="",
            vbios_version=known_text(vbios.get("version")),
        )
        for sensor, metric, threshold in (
            ("HOTSPOT", "CRITICAL", "slowdown"),
            ("HOTSPOT", "EMERGENCY", "shutdown"),
            ("VRAM", "CRITICAL", "memory_max"),
        ):
            degrees = self._temperature(gpu, sensor, metric)
            yield from _some(names.GPU_TEMPERATURE_THRESHOLD_CELSIUS, degrees, **ids, threshold=threshold)

    def _fast_samples(self, gpu: AmdGpu) -> Iterator[Sample]:
        ids = {"gpu_id": gpu.card.gpu_id}
        activity = self._read_parts(gpu.handle, "amdsmi_get_gpu_activity")
        yield from _some(names.GPU_UTILIZATION_PERCENT, percent(activity.get("gfx_activity")), **ids)
        yield from _some(names.GPU_MEMORY_BUSY_RATIO, percent(activity.get("umc_activity"), 0.01), **ids)
        yield from self._memory_samples(gpu)
        for sensor, kind in (("gpu", "HOTSPOT"), ("memory", "VRAM")):
            degrees = self._temperature(gpu, kind, "CURRENT")
            yield from _some(names.GPU_TEMPERATURE_CELSIUS, degrees, **ids, sensor=sensor)
        power = self._read_parts(gpu.handle, "amdsmi_get_power_info")
        yield from _some(names.GPU_POWER_WATTS, number(power.get("average_socket_power")), **ids)
        yield from _some(names.GPU_POWER_INSTANT_WATTS, number(power.get("current_socket_power")), **ids)
        energy = self._read_parts(gpu.handle, "amdsmi_get_energy_count")
        resolution = number(energy.get("counter_resolution"), 1e-6)  # µJ of a step
        if resolution is not None:
            yield from _some(names.GPU_ENERGY_JOULES_TOTAL, number(energy.get("energy_accumulator"), resolution), **ids)
        for clock, kind in (("sm", "GFX"), ("memory", "MEM")):
            found = self._read_parts(gpu.handle, "amdsmi_get_clock_info", getattr(self._amdsmi.AmdSmiClkType, kind))
            yield from _some(names.GPU_CLOCK_HERTZ, number(found.get("clk"), 1e6), **ids, clock=clock)

    def _memory_samples(self, gpu: AmdGpu) -> Iterator[Sample]:
        """Yields the memory of the GPU; of one that has none of its own that of the host."""
        ids, name = {"gpu_id": gpu.card.gpu_id}, "amdsmi_get_gpu_vram_usage"
        memory = self._read_parts(gpu.handle, name)
        total = number(memory.get("vram_total"), MIB)
        if total:
            self._with_memory.add(gpu.package)
        elif gpu.package in self._with_memory:
            return  # a part of a GPU, which has it as a whole
        if total or not (total == 0 or (str(gpu.handle), name) in self._refused):
            yield from _some(names.GPU_MEMORY_USED_BYTES, number(memory.get("vram_used"), MIB), **ids)
            yield from _some(names.GPU_MEMORY_TOTAL_BYTES, total, **ids)
            return
        host = read_host_memory(self._proc)
        yield names.GPU_MEMORY_UNIFIED.sample(1, **ids)
        if host is not None:
            yield names.GPU_MEMORY_USED_BYTES.sample(host.used, **ids)
            yield names.GPU_MEMORY_TOTAL_BYTES.sample(host.total, **ids)

    def _slow_samples(self, gpu: AmdGpu) -> Iterator[Sample]:
        ids = {"gpu_id": gpu.card.gpu_id}
        cap = self._read_parts(gpu.handle, "amdsmi_get_power_cap_info")
        yield from _some(names.GPU_POWER_LIMIT_WATTS, watts(cap.get("power_cap")), **ids)
        yield from _some(names.GPU_POWER_LIMIT_DEFAULT_WATTS, watts(cap.get("default_power_cap")), **ids)
        ecc = self._read_parts(gpu.handle, "amdsmi_get_gpu_total_ecc_count")
        for kind in ("correctable", "uncorrectable"):
            word = kind.replace("able", "ed")
            yield from _some(
                names.GPU_ECC_ERRORS_TOTAL, number(ecc.get(f"{kind}_count")), **ids, type=word, scope="volatile"
            )
        pcie = self._read_parts(gpu.handle, "amdsmi_get_pcie_info")
        now, most = parts(pcie.get("pcie_metric")), parts(pcie.get("pcie_static"))
        yield from _some(names.GPU_PCIE_REPLAYS_TOTAL, number(now.get("pcie_replay_count")), **ids)
        yield from _some(names.GPU_PCIE_LINK_LANES, number(now.get("pcie_width")), **ids)
        yield from _some(names.GPU_PCIE_LINK_LANES_MAX, number(most.get("max_pcie_width")), **ids)
        yield from _some(names.GPU_PCIE_LINK_GENERATION, generation(now.get("pcie_speed")), **ids)
        yield from _some(names.GPU_PCIE_LINK_GENERATION_MAX, generation(most.get("max_pcie_speed")), **ids)

    def _processes(self, gpu: AmdGpu) -> Iterator[GpuProcess]:
        for one in self._ask(gpu.handle, "amdsmi_get_gpu_process_list") or []:
            pid, memory = number(parts(one).get("pid")), number(parts(parts(one).get("memory_usage")).get("vram_mem"))
            if pid is not None:
                yield GpuProcess(gpu.card.gpu_id, int(pid), None if memory is None else int(memory), None)

    def _temperature(self, gpu: AmdGpu, sensor: str, metric: str) -> float | None:
        kinds, metrics = self._amdsmi.AmdSmiTemperatureType, self._amdsmi.AmdSmiTemperatureMetric
        sensors = getattr(kinds, sensor), getattr(metrics, metric)
        return number(self._ask(gpu.handle, "amdsmi_get_temp_metric", *sensors, detail=f"({sensor} {metric})"))

    def _read_parts(self, handle: Any, name: str, *arguments: object) -> Mapping[str, Any]:
        """Returns the answer by its parts; an empty one where there is none."""
        return parts(self._ask(handle, name, *arguments))

    def _ask(self, handle: Any, name: str, *arguments: object, detail: str = "") -> Any:
        """Returns the answer, or None. A function that a GPU does not support is not called again."""
        key = str(handle), name + detail
        function = getattr(self._amdsmi, name, None)
        if function is None or key in self._refused:
            return None
        try:
            return function(*(() if handle is None else (handle,)), *arguments)
        except (self._amdsmi.AmdSmiException, *DEFECTS) as error:
            code = error_code(error)
        self.failures.add(name, code)
        if code == "not_supported":
            self._refused.add(key)
        return None


def number(value: object, factor: float = 1) -> float | None:
    """Returns value times factor; None for what amdsmi gives instead of a number: 'N/A', or the largest of a type."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value in (0xFFFF, 0xFFFFFFFF, (1 << 64) - 1):
        return None
    return value * factor if isfinite(value) else None


def parts(answer: object) -> Mapping[str, Any]:
    """Returns a dictionary of amdsmi; an empty one for 'N/A', which may stand in its place."""
    return answer if isinstance(answer, dict) else {}


def percent(value: object, factor: float = 1) -> float | None:
    """Returns the percentage times factor; None for one that cannot be."""
    found = number(value)
    return None if found is None or not 0 <= found <= 100 else found * factor


def generation(speed: object) -> int | None:
    """Returns the generation of PCIe."""
    return PCIE_GENERATIONS.get(int(number(speed) or 0))


def watts(value: object) -> float | None:
    """Returns the watts of a power cap."""
    found = number(value)
    return found / 1e6 if found is not None and found >= MICROWATTS_FROM else found


def known_text(value: object) -> str:
    return "" if value in (None, "N/A") else str(value)


def error_code(error: Exception) -> str:
    """Returns the code for error counters."""
    code = getattr(error, "err_code", None)
    return "not_supported" if code == NOT_SUPPORTED else str(code if code is not None else type(error).__name__)


def _some(family: Family, value: float | None, **labels: str) -> Iterator[Sample]:
    if value is not None and (value >= 0 or family.kind != "counter"):
        yield family.sample(value, **labels)
