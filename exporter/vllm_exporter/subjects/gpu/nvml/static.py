"""Reads what does not change while a GPU is in use, when the library is opened."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_exporter.metrics.family import Family, Sample
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.fields import read_fields
from vllm_exporter.subjects.gpu.nvml.library import Library, known, text

THRESHOLDS = {"shutdown": 0, "slowdown": 1, "memory_max": 2, "gpu_max": 3}  # nvmlTemperatureThresholds_t
MARGINS = {"shutdown": 193, "slowdown": 194, "memory_max": 195, "gpu_max": 196}  # field ids; Ada and newer
CLOCKS = {"sm": 1, "memory": 2}  # nvmlClockType_t
MAXIMA: tuple[tuple[Family, str, float], ...] = (
    (names.GPU_PCIE_LINK_GENERATION_MAX, "nvmlDeviceGetMaxPcieLinkGeneration", 1),
    (names.GPU_PCIE_LINK_LANES_MAX, "nvmlDeviceGetMaxPcieLinkWidth", 1),
    (names.GPU_POWER_LIMIT_DEFAULT_WATTS, "nvmlDeviceGetPowerManagementDefaultLimit", 1000),
)


def read_static(library: Library, device: Device) -> Iterator[Sample]:
    """Yields info, thresholds and maxima. Raises Lost and Gone."""
    yield read_info(library, device)
    if device.parent is not None:
        return  # they are of the whole GPU
    ids = {"gpu_id": device.gpu_id}
    for name, number in THRESHOLDS.items():
        degrees = known(library.ask(device.uuid, "nvmlDeviceGetTemperatureThreshold", device.handle, number))
        if degrees is not None:
            yield names.GPU_TEMPERATURE_THRESHOLD_CELSIUS.sample(degrees, **ids, threshold=name)
    margins = read_fields(library, device.uuid, device.handle, [(number, 0) for number in MARGINS.values()])
    for name, number in MARGINS.items():
        margin = margins.get((number, 0))
        if margin is not None and margin.value is not None:
            yield names.GPU_TEMPERATURE_MARGIN_THRESHOLD_CELSIUS.sample(margin.value, **ids, threshold=name)
    for name, number in CLOCKS.items():
        megahertz = known(library.ask(device.uuid, "nvmlDeviceGetMaxClockInfo", device.handle, number))
        if megahertz is not None:
            yield names.GPU_CLOCK_MAX_HERTZ.sample(megahertz * 1_000_000, **ids, clock=name)
    for family, function, divisor in MAXIMA:
        value = known(library.ask(device.uuid, function, device.handle))
        if value is not None:
            yield family.sample(value / divisor, **ids)


def read_info(library: Library, device: Device) -> Sample:
    """Returns the info; labels are empty where the driver does not report them."""
    capability = library.ask(device.uuid, "nvmlDeviceGetCudaComputeCapability", device.handle)
    whole = device.handle if device.parent is None else device.parent
    return names.GPU_INFO.sample(
        1,
        gpu_id=device.gpu_id,
        uuid=device.card.uuid,
        name=device.card.name,
        pci_address=device.card.pci_address,
        compute_capability="{}.{}".format(*capability) if capability else "",
        driver_version=text(library.ask("", "nvmlSystemGetDriverVersion")),
        cuda_version=parse_cuda_version(library.ask("", "nvmlSystemGetCudaDriverVersion_v2")),
        vbios_version=text(library.ask(device.uuid, "nvmlDeviceGetVbiosVersion", whole)),
    )


def parse_cuda_version(version: int | None) -> str:
    """Returns '13.1' for 13010."""
    return "" if version is None else f"{version // 1000}.{version % 1000 // 10}"
