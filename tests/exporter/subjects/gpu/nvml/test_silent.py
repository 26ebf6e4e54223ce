"""GPUs that are there and do not answer, that have no memory of their own, and values that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.subjects.gpu.nvml.rig import GIB, MakeRig, Rig, values
from tests.exporter.subjects.gpu.stub import Stub
from vllm_exporter.subjects.gpu.nvml.calls import CALLS, POWER_USAGE
from vllm_exporter.subjects.gpu.nvml.driver import NvmlSource
from vllm_exporter.subjects.gpu.xids import XidLedger

HANDLE = "nvmlDeviceGetHandleByIndex_v2"
MEMORY = ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2")


def lost(rig: Rig, seconds: float = 1.0) -> dict[str, bool]:
    return {card.gpu_id: card.lost for card in rig.cycle(seconds).cards}


@pytest.mark.parametrize("code", [999, 2, 3, 6, 8, 10, 11, 15, 16, 17, 28, 77])
def test_a_gpu_that_is_counted_and_gives_no_handle_does_not_answer_whatever_the_code(
    stub: Stub, make_rig: MakeRig, code: int
) -> None:
    """N03, NVIDIA/dcgm-exporter#604."""
    stub.set("gpus", 2)
    stub.fault(HANDLE, code, gpu=1)
    rig = make_rig(stub)
    assert lost(rig) == {"0": False, "1": True}
    assert {key[1] for key in rig.fast()} == {"0"}
    stub.heal()
    rig.cycle(10)
    assert lost(rig) == {"0": False, "1": code in (3,)}  # what is refused for good is asked again at the next start


@pytest.mark.parametrize("code", [999, 10, 16, 17])
def test_a_gpu_whose_calls_all_fail_does_not_answer(stub: Stub, make_rig: MakeRig, code: int) -> None:
    stub.set("gpus", 3)
    rig = make_rig(stub)
    rig.fast()
    stub.fault("*", code, gpu=1)
    assert lost(rig) == {"0": False, "1": True, "2": False}
    assert lost(rig, 10) == {"0": False, "1": True, "2": False}
    stub.heal()
    assert lost(rig, 10) == {"0": False, "1": False, "2": False}
    assert values(rig.cycle().fast)["utilization_percent", "1"] == 51


def test_a_gpu_whose_calls_all_fail_from_the_start_does_not_answer(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.fault("*", 999, gpu=0)
    assert lost(make_rig(stub)) == {"0": True, "1": False}


def test_one_call_that_is_answered_is_enough(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.fast()
    for function in ("nvmlDeviceGetUtilizationRates", *MEMORY, "nvmlDeviceGetFieldValues"):
        stub.fault(function, 999)
    assert lost(rig) == {"0": False}


def test_a_gpu_that_supports_nothing_is_not_silent(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    for function in {*(call.function for call in (*CALLS, POWER_USAGE)), "nvmlDeviceGetFieldValues"}:
        stub.fault(function, 3, gpu=1)
    assert lost(make_rig(stub)) == {"0": False, "1": False}


def test_when_no_gpu_answers_they_are_still_there(stub: Stub, make_rig: MakeRig) -> None:
    stub.fault(HANDLE, 999)
    rig = make_rig(stub)
    rig.source.read()
    assert rig.source.snapshot is None
    assert [(card.gpu_id, card.lost) for card in rig.source.missing] == [("0", True)]
    rig.clock.advance(1)
    rig.source.read()
    assert len(rig.source.missing) == 1  # until the library is opened again
    stub.heal()
    assert lost(rig, 10) == {"0": False}
    assert not rig.source.missing


def unified(stub: Stub, tmp_path: Path, meminfo: str) -> Rig:
    (tmp_path / "meminfo").write_text(meminfo)
    rig = Rig(stub)
    clock = FakeClock()
    rig.clock, rig.source = clock, NvmlSource(clock, XidLedger(clock, lambda *_: None), stub.path, proc=tmp_path)
    return rig


MEMINFO = "MemTotal:       125829120 kB\nMemFree: 1 kB\nMemAvailable:   104857600 kB\n"


def test_a_gpu_without_memory_of_its_own_has_that_of_the_host(stub: Stub, tmp_path: Path) -> None:
    """N01: GB10 says not supported (leptonai/gpud#1170, wookayin/gpustat#179)."""
    for function in MEMORY:
        stub.fault(function, 3)
    rig = unified(stub, tmp_path, MEMINFO)
    found = rig.fast()
    assert found["memory_unified", "0"] == 1
    assert (found["memory_total_bytes", "0"], found["memory_used_bytes", "0"]) == (120 * GIB, 20 * GIB)
    assert found["utilization_percent", "0"] == 50
    rig.close()


def test_a_gpu_with_0_of_0_bytes_has_the_hosts_memory_too(stub: Stub, tmp_path: Path) -> None:
    stub.set("memory_total", 0)
    stub.set("memory_used", 0)
    rig = unified(stub, tmp_path, MEMINFO)
    found = rig.fast()
    assert (found["memory_unified", "0"], found["memory_total_bytes", "0"]) == (1, 120 * GIB)
    assert ("memory_reserved_bytes", "0") not in found
    rig.close()


def test_unified_memory_is_said_where_the_host_does_not_tell_how_much_there_is(stub: Stub, tmp_path: Path) -> None:
    stub.set("memory_total", 0)
    rig = unified(stub, tmp_path, "")
    found = rig.fast()
    assert found["memory_unified", "0"] == 1
    assert ("memory_total_bytes", "0") not in found
    rig.close()


@pytest.mark.parametrize("code", [4, 10, 999])
def test_memory_that_cannot_be_read_is_not_the_hosts(stub: Stub, make_rig: MakeRig, code: int) -> None:
    for function in MEMORY:
        stub.fault(function, code)
    assert not [key for key in make_rig(stub).fast() if key[0].startswith("memory_") and "busy" not in key[0]]


def test_a_gpu_with_memory_and_one_that_is_split_are_not_unified(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set("mig", 1, gpu=1)
    assert not [key for key in make_rig(stub).fast() if key[0] == "memory_unified"]


@pytest.mark.parametrize("percent", [101, 255, 4294967295])
def test_a_percentage_above_100_is_left_out(stub: Stub, make_rig: MakeRig, percent: float) -> None:
    """N07, NVIDIA/DCGM#199: 4294967295 once in a while."""
    rig = make_rig(stub)
    stub.set("utilization", percent)
    found = rig.fast()
    assert ("utilization_percent", "0") not in found
    assert found["memory_busy_ratio", "0"] == 0.2
    stub.set("utilization", 100)
    assert values(rig.cycle().fast)["utilization_percent", "0"] == 100
    stub.set("memory_busy", percent)
    assert ("memory_busy_ratio", "0") not in values(rig.cycle().fast)


@pytest.mark.parametrize("share", [-1.0, 100.5, 1e30])
def test_a_share_of_activity_outside_0_to_100_is_left_out(stub: Stub, make_rig: MakeRig, share: float) -> None:
    stub.set("gpm.2", share)
    found = make_rig(stub).fast()
    assert ("sm_active_ratio", "0") not in found
    assert found["sm_occupancy_ratio", "0"] == pytest.approx(0.12)


def test_the_drivers_value_for_none_is_none(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("field.185", 4294967295)
    stub.set("field.185.type", 1)
    found = make_rig(stub).fast()
    assert found["power_watts", "0"] == 300.5  # by the other call


NONE_32, NONE_64 = float(2**32 - 1), float(2**64)  # a double has no 2**64 - 1; the stand-in makes it of what is above


@pytest.mark.parametrize(
    ("knob", "series"),
    [
        ("power_limit", ("power_limit_watts", "0")),
        ("pcie_generation", ("pcie_link_generation", "0")),
        ("pcie_width", ("pcie_link_lanes", "0")),
        ("field.3", ("ecc_errors_total", "0", "corrected", "volatile")),
        ("field.94", ("pcie_replays_total", "0")),
        ("field.142", ("remapped_rows", "0", "corrected")),
        ("field.91", ("nvlink_links", "0", "inactive")),
        ("field.230", ("recovery_action", "0", "other")),
    ],
)
def test_no_slow_reading_is_the_drivers_value_for_none(
    stub: Stub, make_rig: MakeRig, knob: str, series: tuple[str, ...]
) -> None:
    """By whichever call it comes: 4294967295 lanes are none."""
    stub.set(knob, NONE_32)
    assert series not in values(make_rig(stub).cycle().slow)


def test_errors_of_a_link_that_are_not_known_are_not_summed(stub: Stub, make_rig: MakeRig) -> None:
    for field in (206, 208):
        stub.set(f"field.{field}.code", 0)
    stub.set("field.206", NONE_32)
    stub.set("field.208", 2)
    found = values(make_rig(stub).cycle().slow)
    assert ("nvlink_errors_total", "0", "malformed_packet") not in found
    assert found["nvlink_errors_total", "0", "receive"] == 2 * 18


@pytest.mark.parametrize("field", ["83", "74"])
def test_no_counter_is_the_drivers_value_for_none(stub: Stub, make_rig: MakeRig, field: str) -> None:
    stub.set(f"field.{field}", -1)  # of an unsigned type of 64 bits
    found = make_rig(stub).fast()
    name = {"83": ("energy_joules_total", "0"), "74": ("throttle_seconds_total", "0", "power")}[field]
    assert name not in found
    assert found["power_instant_watts", "0"] == 320


def test_a_part_of_the_memory_that_is_more_than_the_whole_is_left_out(stub: Stub, make_rig: MakeRig) -> None:
    """A difference that wrapped: nvidia-smi shows 17179869183MiB then."""
    stub.set("memory_reserved", 2.0**64 - 65536)
    found = make_rig(stub).fast()
    assert ("memory_reserved_bytes", "0") not in found
    assert (found["memory_total_bytes", "0"], found["memory_used_bytes", "0"]) == (80 * GIB, GIB)


@pytest.mark.parametrize("code", [2, 3, 4, 10, 16, 17, 999, 1234])
def test_a_driver_that_does_not_count_its_gpus_is_a_failure(stub: Stub, make_rig: MakeRig, code: int) -> None:
    stub.fault("nvmlDeviceGetCount_v2", code)
    rig = make_rig(stub)
    rig.source.read()
    assert (rig.source.snapshot, "nvmlDeviceGetCount failed" in rig.source.closed_because) == (None, True)
    stub.heal()
    assert values(rig.cycle(10).fast)["utilization_percent", "0"] == 50


@pytest.mark.parametrize("degrees", [-1, -2147483648, 2147483647, 255])
def test_a_temperature_that_no_gpu_can_have_is_left_out(stub: Stub, make_rig: MakeRig, degrees: float) -> None:
    """-1 is NVML's value for none, of a signed type too."""
    stub.set("temperature", degrees)
    stub.set("field.82", 4294967295)
    found = make_rig(stub).fast()
    assert not [key for key in found if key[0] == "temperature_celsius"]
    assert found["utilization_percent", "0"] == 50
