"""Makes the readings of every ten seconds: limits, errors, links, the fabric. By pynvml: 250 µs per GPU, and rarely.

The field ids, and what they count, are in nvml.h.
"""

from __future__ import annotations

from collections.abc import Iterator

from vllm_exporter.metrics.family import Family, Sample
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.fields import FieldKey, FieldValue, read_fields
from vllm_exporter.subjects.gpu.nvml.library import NOT_AVAILABLE, NOT_SUPPORTED, Library, known

# Field id to family and labels after gpu_id.
FIELDS: dict[int, tuple[Family, dict[str, str]]] = {
    3: (names.GPU_ECC_ERRORS_TOTAL, {"type": "corrected", "scope": "volatile"}),
    4: (names.GPU_ECC_ERRORS_TOTAL, {"type": "uncorrected", "scope": "volatile"}),
    5: (names.GPU_ECC_ERRORS_TOTAL, {"type": "corrected", "scope": "aggregate"}),
    6: (names.GPU_ECC_ERRORS_TOTAL, {"type": "uncorrected", "scope": "aggregate"}),
    29: (names.GPU_RETIRED_PAGES, {"cause": "single_bit"}),
    30: (names.GPU_RETIRED_PAGES, {"cause": "double_bit"}),
    31: (names.GPU_RETIRED_PAGES_PENDING, {}),
    94: (names.GPU_PCIE_REPLAYS_TOTAL, {}),
    142: (names.GPU_REMAPPED_ROWS, {"cause": "corrected"}),
    143: (names.GPU_REMAPPED_ROWS, {"cause": "uncorrected"}),
    144: (names.GPU_ROW_REMAP_PENDING, {}),
    145: (names.GPU_ROW_REMAP_FAILED, {}),
    173: (names.GPU_PCIE_ERRORS_TOTAL, {"type": "correctable"}),
    175: (names.GPU_PCIE_ERRORS_TOTAL, {"type": "receiver"}),
    176: (names.GPU_PCIE_ERRORS_TOTAL, {"type": "bad_tlp"}),
    178: (names.GPU_PCIE_ERRORS_TOTAL, {"type": "bad_dllp"}),
    179: (names.GPU_PCIE_ERRORS_TOTAL, {"type": "non_fatal"}),
    180: (names.GPU_PCIE_ERRORS_TOTAL, {"type": "fatal"}),
    38: (names.GPU_NVLINK_ERRORS_TOTAL, {"type": "crc_flit"}),
    45: (names.GPU_NVLINK_ERRORS_TOTAL, {"type": "crc_data"}),
    52: (names.GPU_NVLINK_ERRORS_TOTAL, {"type": "replay"}),
    59: (names.GPU_NVLINK_ERRORS_TOTAL, {"type": "recovery"}),
    160: (names.GPU_NVLINK_ERRORS_TOTAL, {"type": "ecc_data"}),
}
LINK_FIELDS = {  # NVLink 5: asked for each link, and summed
    206: "malformed_packet",
    207: "buffer_overrun",
    208: "receive",
    209: "receive_remote",
    210: "receive_general",
    211: "local_link_integrity",
    212: "transmit_discard",
    214: "recovery_failed",
    221: "symbol",
}
LINK_COUNT, RECOVERY = 91, 230
MAX_LINKS = 36  # that any GPU has; a driver that answers nonsense must not make thousands of calls
RECOVERY_ACTIONS = (  # nvmlDeviceGpuRecoveryAction_t
    "none",
    "gpu_reset",
    "node_reboot",
    "drain_p2p",
    "drain_and_reset",
    "recover_imex_domain",
    "bus_reset",
    "system_reboot",
)
VALUES: tuple[tuple[Family, str, float], ...] = (
    (names.GPU_POWER_LIMIT_WATTS, "nvmlDeviceGetEnforcedPowerLimit", 1000),
    (names.GPU_PCIE_LINK_GENERATION, "nvmlDeviceGetCurrPcieLinkGeneration", 1),
    (names.GPU_PCIE_LINK_LANES, "nvmlDeviceGetCurrPcieLinkWidth", 1),
    (names.GPU_PERSISTENCE_MODE, "nvmlDeviceGetPersistenceMode", 1),
    (names.GPU_TEMPERATURE_MARGIN_CELSIUS, "nvmlDeviceGetMarginTemperature", 1),
)
FABRIC_STATES = {1: "not_started", 2: "in_progress", 3: "completed"}  # nvmlGpuFabricState_t; 0: no fabric
FABRIC_BITS = {
    "degraded_bandwidth": 0,
    "route_recovery": 2,
    "route_unhealthy": 4,
    "access_timeout_recovery": 6,
}  # shift
FABRIC_CONFIGURATION = 8  # shift of four bits: 1 is well, more is a mistake


LinkErrors = dict[str, dict[FieldKey, float]]  # by uuid: the newest count of each field and link


def read_slow(library: Library, device: Device, link_errors: LinkErrors) -> Iterator[Sample]:
    """Yields the samples of a whole GPU. `link_errors` is kept between readings. Raises Lost and Gone."""
    ids = {"gpu_id": device.gpu_id}
    for family, function, divisor in VALUES:
        value = known(library.ask(device.uuid, function, device.handle))
        if value is not None:
            yield family.sample(value / divisor, **ids)
    ecc = library.ask(device.uuid, "nvmlDeviceGetEccMode", device.handle)
    if ecc:
        yield names.GPU_ECC_ENABLED.sample(ecc[0], **ids)
    mig = library.ask(device.uuid, "nvmlDeviceGetMigMode", device.handle)
    if mig:
        yield names.GPU_MIG_ENABLED.sample(mig[0], **ids)
    keys = [(number, 0) for number in (*FIELDS, LINK_COUNT, RECOVERY)]
    answers = read_fields(library, device.uuid, device.handle, keys)
    yield from field_samples(device.gpu_id, answers)
    yield from _links(library, device, count_links(answers), link_errors)
    yield from _fabric(library, device)


def field_samples(gpu_id: str, answers: dict[FieldKey, FieldValue]) -> Iterator[Sample]:
    """Yields the samples of the fields that have a value."""
    for number, (family, labels) in FIELDS.items():
        value = _value(answers, number)
        if value is not None and value >= 0:  # all of them count
            yield family.sample(value, gpu_id=gpu_id, **labels)
    action = _value(answers, RECOVERY)
    if action is not None:
        word = RECOVERY_ACTIONS[int(action)] if 0 <= action < len(RECOVERY_ACTIONS) else "other"
        yield names.GPU_RECOVERY_ACTION.sample(1, gpu_id=gpu_id, action=word)
    if answers:
        slowest = max(answer.latency for answer in answers.values())
        yield names.GPU_NVML_LATENCY_SECONDS.sample(slowest, gpu_id=gpu_id)


def count_links(answers: dict[FieldKey, FieldValue]) -> int:
    links = _value(answers, LINK_COUNT)
    return 0 if links is None else max(0, min(int(links), MAX_LINKS))


def _links(library: Library, device: Device, count: int, errors: LinkErrors) -> Iterator[Sample]:
    if not count:
        return
    name, quiet = "nvmlDeviceGetNvLinkState", (NOT_SUPPORTED,)  # of one link; the others may answer
    states = [library.ask(device.uuid, name, device.handle, link, quiet=quiet) for link in range(count)]
    if any(state is not None for state in states):
        active = sum(state == 1 for state in states)
        yield names.GPU_NVLINK_LINKS.sample(active, gpu_id=device.gpu_id, state="active")
        yield names.GPU_NVLINK_LINKS.sample(count - active, gpu_id=device.gpu_id, state="inactive")
    keys = [(number, link) for number in LINK_FIELDS for link in range(count)]
    answers = read_fields(library, device.uuid, device.handle, keys)
    told = errors.setdefault(device.uuid, {})  # a link that went down may not answer: without it a sum would go back
    told.update({key: one.value for key, one in answers.items() if one.value is not None and _counts(one.value)})
    for number, kind in LINK_FIELDS.items():
        values = [told[number, link] for link in range(count) if (number, link) in told]
        if values:
            yield names.GPU_NVLINK_ERRORS_TOTAL.sample(sum(values), gpu_id=device.gpu_id, type=kind)


def _fabric(library: Library, device: Device) -> Iterator[Sample]:
    info = library.pynvml.c_nvmlGpuFabricInfo_v2_t()  # has all that is read, and drivers of 2023 know it
    if library.ask(device.uuid, "nvmlDeviceGetGpuFabricInfoV", device.handle, library.pynvml.byref(info)) is None:
        return
    yield from fabric_samples(device.gpu_id, int(info.state), int(info.healthMask))


def fabric_samples(gpu_id: str, state: int, health: int) -> Iterator[Sample]:
    """Yields nothing for a GPU in no fabric, and only problems that the driver knows about. Two bits: 1 is true."""
    if state not in FABRIC_STATES:
        return
    for number, word in FABRIC_STATES.items():
        yield names.GPU_FABRIC_STATE.sample(number == state, gpu_id=gpu_id, state=word)
    for problem, shift in FABRIC_BITS.items():
        bits = health >> shift & 0x3
        if bits:
            yield names.GPU_FABRIC_PROBLEM.sample(bits == 1, gpu_id=gpu_id, problem=problem)
    configuration = health >> FABRIC_CONFIGURATION & 0xF
    if configuration:
        yield names.GPU_FABRIC_PROBLEM.sample(configuration > 1, gpu_id=gpu_id, problem="incorrect_configuration")


def _value(answers: dict[FieldKey, FieldValue], number: int) -> float | None:
    answer = answers.get((number, 0))
    return None if answer is None or answer.value in NOT_AVAILABLE else answer.value


def _counts(value: float) -> bool:
    return value >= 0 and value not in NOT_AVAILABLE
