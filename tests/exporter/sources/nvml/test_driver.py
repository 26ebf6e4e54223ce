"""NVML over a stand-in for the driver's library: tests/exporter/gpu/nvml_stub.c says what it answers by default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.gpu.stub import Stub, make_stub
from vllm_exporter.names import gpu as names
from vllm_exporter.sources.gpu.source import GpuProcess, Snapshot, Table
from vllm_exporter.sources.gpu.xids import XidLedger
from vllm_exporter.sources.nvml.driver import NvmlSource

GIB = 1 << 30


@pytest.fixture
def stub() -> Iterator[Stub]:
    yield from make_stub()


@pytest.fixture
def old_stub() -> Iterator[Stub]:
    yield from make_stub(old=True)


class Rig:
    """A source with its clock. `cycle` lets a second pass and reads."""

    def __init__(self, stub: Stub, gpm: bool = True) -> None:
        self.clock = FakeClock()
        self.told: list[tuple[str, int]] = []
        self.ledger = XidLedger(self.clock, lambda gpu_id, code: self.told.append((gpu_id, code)))
        self.source = NvmlSource(self.clock, self.ledger, stub.path, gpm, event_wait=0.02)

    def cycle(self, seconds: float = 1.0) -> Snapshot:
        self.clock.advance(seconds)
        self.source.read()
        assert self.source.snapshot is not None, self.source.closed_because
        return self.source.snapshot

    def fast(self) -> dict[tuple[str, ...], float]:
        """After two cycles, so that there are two samples of GPM."""
        self.cycle()
        return values(self.cycle().fast)

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        return self.source.failures.counts


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(stub: Stub, gpm: bool = True) -> Rig:
        made.append(Rig(stub, gpm))
        return made[-1]

    yield make
    for rig in made:
        rig.source.release()
        rig.source.read()


MakeRig = Callable[..., Rig]


def values(table: Table) -> dict[tuple[str, ...], float]:
    """By the name without `vllm_gpu_`, and the label values."""
    pairs = zip(table.series, table.numbers, strict=True)
    return {(family.name.removeprefix("vllm_gpu_"), *labels): number for (family, labels), number in pairs}


# Values.


def test_reads_every_fast_family_of_a_hopper(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    found = make_rig(stub).fast()
    assert {key: value for key, value in found.items() if key[1] == "1" and key[0] != "throttle_active"} == {
        ("utilization_percent", "1"): 51,
        ("memory_busy_ratio", "1"): 0.21,
        ("memory_used_bytes", "1"): 2 * GIB,
        ("memory_total_bytes", "1"): 80 * GIB,
        ("memory_reserved_bytes", "1"): 600 << 20,
        ("temperature_celsius", "1", "gpu"): 41,
        ("temperature_celsius", "1", "memory"): 61,
        ("power_watts", "1"): 300.001,
        ("power_instant_watts", "1"): 320.001,
        ("energy_joules_total", "1"): 5000,
        ("clock_hertz", "1", "sm"): 1_980_000_000,
        ("clock_hertz", "1", "memory"): 2_619_000_000,
        ("performance_state", "1"): 0,
        ("pcie_transmit_bytes_total", "1"): 197_001,
        ("pcie_receive_bytes_total", "1"): 198_001,
        ("nvlink_transmit_bytes_total", "1"): 138_001 * 1024,
        ("nvlink_receive_bytes_total", "1"): 139_001 * 1024,
        ("throttle_seconds_total", "1", "power"): 0.000_074_001,
        ("throttle_seconds_total", "1", "thermal"): 0.000_075_001,
        ("throttle_seconds_total", "1", "sync_boost"): 0.000_076_001,
        ("throttle_seconds_total", "1", "board_limit"): 0.000_077_001,
        ("throttle_seconds_total", "1", "low_utilization"): 0.000_078_001,
        ("throttle_seconds_total", "1", "reliability"): 0.000_079_001,
        ("throttle_seconds_total", "1", "sw_thermal"): 0.000_269_001,
        ("throttle_seconds_total", "1", "hw_thermal"): 0.000_270_001,
        ("throttle_seconds_total", "1", "hw_power_brake"): 0.000_271_001,
        ("sm_active_ratio", "1"): 0.09,
        ("sm_occupancy_ratio", "1"): 0.13,
        ("tensor_active_ratio", "1"): 0.21,
        ("dram_bandwidth_ratio", "1"): 0.41,
    }


def test_reads_all_of_eight_gpus(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 8)
    stub.set("utilization", 99, gpu=5)
    found = make_rig(stub).fast()
    assert [found["utilization_percent", str(gpu)] for gpu in range(8)] == [50, 51, 52, 53, 54, 99, 56, 57]
    assert [found["memory_used_bytes", str(gpu)] for gpu in range(8)] == [(gpu + 1) * GIB for gpu in range(8)]
    assert len(found) == 8 * 38


def test_throttle_reasons_are_the_bits_of_now(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("reasons", 0x48)
    rig = make_rig(stub)
    found = rig.fast()
    assert {key[2] for key, value in found.items() if key[0] == "throttle_active" and value} == {
        "hw_slowdown",
        "hw_thermal",
    }
    stub.set("reasons", 0)
    assert sum(value for key, value in values(rig.cycle().fast).items() if key[0] == "throttle_active") == 0


def test_reads_every_slow_family(stub: Stub, make_rig: MakeRig) -> None:
    found = values(make_rig(stub).cycle().slow)
    assert found == {
        ("info", "0", "GPU-00000000", "NVIDIA H100 80GB HBM3", "0000:17:00.0", "9.0", "580.65.06", "13.0",
         "96.00.89.00.01"): 1,
        ("temperature_threshold_celsius", "0", "shutdown"): 92,
        ("temperature_threshold_celsius", "0", "slowdown"): 89,
        ("temperature_threshold_celsius", "0", "memory_max"): 105,
        ("temperature_threshold_celsius", "0", "gpu_max"): 87,
        ("temperature_margin_threshold_celsius", "0", "shutdown"): -8,
        ("temperature_margin_threshold_celsius", "0", "slowdown"): -2,
        ("temperature_margin_threshold_celsius", "0", "memory_max"): -2,
        ("temperature_margin_threshold_celsius", "0", "gpu_max"): -2,
        ("temperature_margin_celsius", "0"): 47,
        ("clock_max_hertz", "0", "sm"): 1_980_000_000,
        ("clock_max_hertz", "0", "memory"): 2_619_000_000,
        ("power_limit_watts", "0"): 700,
        ("power_limit_default_watts", "0"): 700,
        ("pcie_link_generation", "0"): 5,
        ("pcie_link_generation_max", "0"): 5,
        ("pcie_link_lanes", "0"): 16,
        ("pcie_link_lanes_max", "0"): 16,
        ("pcie_replays_total", "0"): 94_000,
        ("pcie_errors_total", "0", "correctable"): 173_000,
        ("pcie_errors_total", "0", "receiver"): 175_000,
        ("pcie_errors_total", "0", "bad_tlp"): 176_000,
        ("pcie_errors_total", "0", "bad_dllp"): 178_000,
        ("pcie_errors_total", "0", "non_fatal"): 179_000,
        ("pcie_errors_total", "0", "fatal"): 180_000,
        ("ecc_enabled", "0"): 1,
        ("ecc_errors_total", "0", "corrected", "volatile"): 3,
        ("ecc_errors_total", "0", "uncorrected", "volatile"): 4,
        ("ecc_errors_total", "0", "corrected", "aggregate"): 5,
        ("ecc_errors_total", "0", "uncorrected", "aggregate"): 6,
        ("remapped_rows", "0", "corrected"): 142_000,
        ("remapped_rows", "0", "uncorrected"): 143_000,
        ("row_remap_pending", "0"): 0,
        ("row_remap_failed", "0"): 0,
        ("recovery_action", "0", "none"): 1,
        ("nvlink_links", "0", "active"): 18,
        ("nvlink_links", "0", "inactive"): 0,
        ("nvlink_errors_total", "0", "crc_flit"): 38_000,
        ("nvlink_errors_total", "0", "crc_data"): 45_000,
        ("nvlink_errors_total", "0", "replay"): 52_000,
        ("nvlink_errors_total", "0", "recovery"): 59_000,
        ("nvlink_errors_total", "0", "ecc_data"): 160_000,
        ("fabric_state", "0", "not_started"): 0,
        ("fabric_state", "0", "in_progress"): 0,
        ("fabric_state", "0", "completed"): 1,
        ("fabric_problem", "0", "degraded_bandwidth"): 0,
        ("fabric_problem", "0", "route_recovery"): 0,
        ("fabric_problem", "0", "route_unhealthy"): 0,
        ("fabric_problem", "0", "access_timeout_recovery"): 0,
        ("fabric_problem", "0", "incorrect_configuration"): 0,
        ("persistence_mode", "0"): 1,
        ("mig_enabled", "0"): 0,
        ("nvml_latency_seconds", "0"): 5e-6,
    }  # fmt: skip


def test_slow_families_are_read_every_ten_seconds(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.cycle()
    stub.set("power_limit", 500_000)
    assert values(rig.cycle(9).slow)["power_limit_watts", "0"] == 700
    assert values(rig.cycle().slow)["power_limit_watts", "0"] == 500


def test_what_is_wrong_with_a_gpu_is_said(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("field.144", 1)
    stub.set("field.145", 1)
    stub.set("field.230", 4)
    stub.set("links_up", 17)
    stub.set("fabric_state", 2)
    stub.set("fabric_health", 0x3A9)
    stub.set("ecc", 0)
    found = values(make_rig(stub).cycle().slow)
    assert found["row_remap_pending", "0"] == found["row_remap_failed", "0"] == 1
    assert ("recovery_action", "0", "drain_and_reset") in found
    assert (found["nvlink_links", "0", "active"], found["nvlink_links", "0", "inactive"]) == (17, 1)
    assert found["fabric_state", "0", "in_progress"] == 1
    assert found["fabric_problem", "0", "degraded_bandwidth"] == 1
    assert found["fabric_problem", "0", "incorrect_configuration"] == 1
    assert found["ecc_enabled", "0"] == 0


def test_an_ampere_has_retired_pages_where_it_has_no_rows_to_remap(stub: Stub, make_rig: MakeRig) -> None:
    for field in (142, 143, 144, 145):
        stub.set(f"field.{field}.code", 3)
    for field, pages in ((29, 2), (30, 1), (31, 1)):
        stub.set(f"field.{field}.code", 0)
        stub.set(f"field.{field}", pages)
    found = values(make_rig(stub).cycle().slow)
    assert found["retired_pages", "0", "single_bit"] == 2
    assert found["retired_pages", "0", "double_bit"] == 1
    assert found["retired_pages_pending", "0"] == 1
    assert not [key for key in found if key[0] in ("remapped_rows", "row_remap_pending", "row_remap_failed")]


def test_nvlink_5_counts_bytes_and_errors_of_each_link(stub: Stub, make_rig: MakeRig) -> None:
    for field in (138, 139):
        stub.set(f"field.{field}.code", 3)
    for field, count in ((202, 7_000_000_000_000), (204, 5), (208, 2)):
        stub.set(f"field.{field}.code", 0)
        stub.set(f"field.{field}", count)
    rig = make_rig(stub)
    found = rig.fast()
    assert found["nvlink_transmit_bytes_total", "0"] == 7_000_000_000_000
    assert found["nvlink_receive_bytes_total", "0"] == 5
    slow = values(rig.cycle().slow)
    assert slow["nvlink_errors_total", "0", "receive"] == 18 * 2


def test_a_link_that_does_not_answer_is_inactive_and_the_others_are_still_asked(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    stub.set("silent_link", 3)
    rig.cycle()
    stub.set("links_up", 17)
    found = values(rig.cycle(10).slow)
    assert (found["nvlink_links", "0", "active"], found["nvlink_links", "0", "inactive"]) == (16, 2)
    assert ("nvmlDeviceGetNvLinkState", "not_supported") not in rig.failures


def test_errors_of_a_link_stay_counted_when_it_no_longer_answers(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("field.208.code", 0)
    stub.set("field.208", 2)
    rig = make_rig(stub)
    rig.cycle()
    stub.set("silent_link", 3)
    stub.set("field.208", 5)
    assert values(rig.cycle(10).slow)["nvlink_errors_total", "0", "receive"] == 17 * 5 + 2
    assert values(rig.cycle(10).slow)["nvlink_errors_total", "0", "receive"] == 17 * 5 + 2


def test_a_driver_that_answers_a_nonsense_number_of_links_costs_no_thousand_calls(
    stub: Stub, make_rig: MakeRig
) -> None:
    stub.set("field.91", 91_000)
    found = values(make_rig(stub).cycle().slow)
    assert found["nvlink_links", "0", "active"] + found["nvlink_links", "0", "inactive"] == 36


def test_pcie_counters_go_on_when_the_drivers_wrap(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("field.197", 4_294_967_000)
    rig = make_rig(stub)
    assert rig.fast()["pcie_transmit_bytes_total", "0"] == 4_294_967_000
    stub.set("field.197", 704)
    assert values(rig.cycle().fast)["pcie_transmit_bytes_total", "0"] == 4_294_968_000


def test_a_value_has_the_type_that_the_driver_says(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("field.83.type", 0)  # double
    stub.set("field.83", 1234.5)
    assert make_rig(stub).fast()["energy_joules_total", "0"] == 1.2345


# GPM.


def test_gpm_needs_two_samples(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    assert not [key for key in values(rig.cycle(0).fast) if key[0] == "sm_active_ratio"]
    assert values(rig.cycle().fast)["sm_active_ratio", "0"] == 0.08


def test_samples_that_are_too_close_are_not_compared(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.fast()
    stub.set("gpm.2", 70)
    assert values(rig.cycle(0.05).fast)["sm_active_ratio", "0"] == 0.08
    assert values(rig.cycle(0.06).fast)["sm_active_ratio", "0"] == 0.7


def test_counts_since_the_boot_are_there_where_the_driver_has_them(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpm_cumulative", 1)
    found = make_rig(stub).fast()
    assert found["sm_cycles_total", "0"] == 1e9
    assert found["sm_active_cycles_total", "0"] == 2e9
    assert found["tensor_active_cycles_total", "0"] == 3e9


def test_a_gpu_without_gpm_has_none_of_its_families(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpm", 0)
    found = make_rig(stub).fast()
    assert not [key for key in found if key[0].startswith(("sm_", "tensor_", "dram_"))]
    assert found["utilization_percent", "0"] == 50


def test_gpm_can_be_switched_off(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub, gpm=False)
    assert not [key for key in rig.fast() if key[0].startswith(("sm_", "tensor_", "dram_"))]
    assert not [key for key in rig.failures if "Gpm" in key[0]]


def test_gpm_that_is_refused_leaves_the_rest(stub: Stub, make_rig: MakeRig) -> None:
    stub.fault("nvmlGpmMetricsGet", 4)
    rig = make_rig(stub)
    rig.fast()
    rig.cycle(10)
    found = values(rig.cycle(10).fast)
    assert not [key for key in found if key[0] == "sm_active_ratio"]
    assert found["utilization_percent", "0"] == 50
    assert rig.failures["nvmlGpmMetricsGet", "no_permission"] == 1


# Failures.


def test_an_old_driver_lacks_families_and_fails_nothing(old_stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(old_stub)
    found = rig.fast()
    assert found["memory_used_bytes", "0"] == GIB
    assert found["temperature_celsius", "0", "gpu"] == 40
    assert found["throttle_active", "0", "sw_power_cap"] == 1
    assert not [key for key in found if key[0] in ("memory_reserved_bytes", "sm_active_ratio")]
    assert not [key for key in values(rig.cycle().slow) if key[0].startswith("fabric")]
    assert rig.failures["nvmlDeviceGetMemoryInfo_v2", "function_not_found"] == 1


@pytest.mark.parametrize(
    ("code", "word", "times"),
    [(3, "not_supported", 1), (4, "no_permission", 1), (13, "function_not_found", 1), (10, "timeout", 3)],
)
def test_errors_are_counted_by_function_and_asked_again_only_where_it_may_help(
    stub: Stub, make_rig: MakeRig, code: int, word: str, times: int
) -> None:
    stub.fault("nvmlDeviceGetPerformanceState", code)
    rig = make_rig(stub)
    for _ in range(3):
        found = values(rig.cycle(10).fast)
        assert ("performance_state", "0") not in found
        assert found["utilization_percent", "0"] == 50
    assert rig.failures["nvmlDeviceGetPerformanceState", word] == times


def test_a_call_that_fails_for_a_while_comes_back(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.fast()
    stub.fault("nvmlDeviceGetUtilizationRates", 999)
    assert ("utilization_percent", "0") not in values(rig.cycle().fast)
    assert ("utilization_percent", "0") not in values(rig.cycle().fast)
    assert rig.failures["nvmlDeviceGetUtilizationRates", "unknown"] == 1
    stub.heal()
    assert values(rig.cycle(10).fast)["utilization_percent", "0"] == 50


def test_one_field_that_fails_leaves_the_other_fields(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.fast()
    stub.set("field.186.code", 999)
    found = values(rig.cycle().fast)
    assert ("power_instant_watts", "0") not in found
    assert found["power_watts", "0"] == 300
    assert rig.failures["nvmlDeviceGetFieldValues(186)", "unknown"] == 1


def test_power_has_a_second_source(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("field.185.code", 3)
    assert make_rig(stub).fast()["power_watts", "0"] == 300.5


def test_a_gpu_that_is_lost_is_said_and_the_others_go_on(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 3)
    rig = make_rig(stub)
    rig.fast()
    stub.fault("*", 15, gpu=1)
    snapshot = rig.cycle()
    assert [(card.gpu_id, card.lost) for card in snapshot.cards] == [("0", False), ("1", True), ("2", False)]
    found = values(snapshot.fast)
    assert {key[1] for key in found} == {"0", "2"}
    assert {key[1] for key in values(rig.cycle(10).slow)} == {"0", "2"}
    assert {process.gpu_id for process in rig.cycle().processes} == {"0", "2"}


def test_a_lost_gpu_that_answers_again_is_back(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub)
    rig.fast()
    stub.fault("*", 15, gpu=1)
    assert rig.cycle().cards[1].lost
    assert rig.cycle(10).cards[1].lost
    stub.heal()
    snapshot = rig.cycle(10)
    assert not snapshot.cards[1].lost
    assert values(snapshot.fast)["utilization_percent", "1"] == 51


def test_a_gpu_that_is_lost_from_the_start_is_said(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.fault("*", 15, gpu=0)
    snapshot = make_rig(stub).cycle()
    assert [(card.gpu_id, card.uuid, card.lost) for card in snapshot.cards] == [
        ("1", "GPU-00000001", False),
        ("0", "", True),
    ]


def test_a_gpu_that_this_process_may_not_use_does_not_hide_the_others(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 3)
    stub.fault("nvmlDeviceGetHandleByIndex_v2", 4, gpu=0)
    stub.fault("nvmlDeviceGetVbiosVersion", 3, gpu=1)
    snapshot = make_rig(stub).cycle()
    assert [card.gpu_id for card in snapshot.cards] == ["1", "2"]
    infos = {key[1]: key[-1] for key in values(snapshot.slow) if key[0] == "info"}
    assert infos == {"1": "", "2": "96.00.89.00.01"}


@pytest.mark.parametrize("function", ["nvmlDeviceGetCount_v2", "nvmlEventSetCreate"])
def test_a_call_of_the_whole_driver_that_fails_leaves_nothing_open(
    stub: Stub, make_rig: MakeRig, function: str
) -> None:
    rig = make_rig(stub)
    stub.fault(function, 15)
    rig.source.read()
    assert not stub.is_open
    assert "gpu_is_lost" in rig.source.closed_because
    stub.heal()
    assert values(rig.cycle(10).fast)["utilization_percent", "0"] == 50


def test_when_all_gpus_are_lost_the_library_is_opened_again_and_less_and_less_often(
    stub: Stub, make_rig: MakeRig
) -> None:
    rig = make_rig(stub)
    rig.fast()
    stub.fault("*", 15)
    rig.clock.advance(1)
    rig.source.read()
    assert rig.source.snapshot is None
    assert rig.source.closed_because == "all GPUs are lost"
    assert not stub.is_open
    for _ in range(60):
        rig.clock.advance(1)
        rig.source.read()
    assert rig.failures["nvmlInit", "gpu_is_lost"] == 2  # after 10 s and 20 s more
    stub.heal()
    rig.clock.advance(300)
    assert values(rig.cycle().fast)["utilization_percent", "0"] == 50


def test_a_gpu_that_a_new_start_of_the_driver_leaves_out_is_still_missed(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub)
    rig.fast()
    rig.source.release()
    rig.source.read()
    stub.set("gpus", 1)
    rig.source.reopen()
    cards = rig.cycle().cards
    assert [(card.gpu_id, card.uuid, card.lost) for card in cards] == [
        ("0", "GPU-00000000", False),
        ("1", "GPU-00000001", True),
    ]


def test_a_library_that_says_it_is_not_initialised_is_opened_again(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.fast()
    stub.fault("nvmlDeviceGetMemoryInfo_v2", 1)
    rig.clock.advance(1)
    rig.source.read()
    assert rig.source.closed_because == "nvmlDeviceGetMemoryInfo_v2: uninitialized"
    stub.heal()
    assert values(rig.cycle(10).fast)["utilization_percent", "0"] == 50


@pytest.mark.parametrize(("code", "words"), [(9, "the NVIDIA driver is not loaded"), (999, "nvmlInit: unknown")])
def test_says_why_the_library_cannot_be_opened(stub: Stub, make_rig: MakeRig, code: int, words: str) -> None:
    stub.fault("nvmlInitWithFlags", code)
    rig = make_rig(stub)
    rig.source.read()
    assert rig.source.snapshot is None
    assert words in rig.source.closed_because


def test_a_driver_without_gpus_is_no_failure(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 0)
    rig = make_rig(stub)
    rig.source.read()
    assert rig.source.closed_because == "the NVIDIA driver is there, but no GPU that this process may use"
    assert not stub.is_open
    assert rig.failures == {}


def test_released_it_holds_nothing_until_it_is_asked_to(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.fast()
    assert stub.is_open
    rig.source.release()
    rig.source.read()
    assert not stub.is_open
    assert rig.source.closed_because.startswith("released on request")
    rig.source.reopen()
    assert values(rig.cycle().fast)["utilization_percent", "0"] == 50
    assert stub.is_open


# MIG.


def test_mig_instances_are_devices_and_their_gpu_leaves_memory_and_activity_to_them(
    stub: Stub, make_rig: MakeRig
) -> None:
    stub.set("mig", 2)
    rig = make_rig(stub)
    found = rig.fast()
    assert {key: value for key, value in found.items() if ":" in key[1]} == pytest.approx(
        {
            ("memory_used_bytes", "0:0"): GIB // 8,
            ("memory_total_bytes", "0:0"): 10 * GIB,
            ("memory_reserved_bytes", "0:0"): 600 << 20,
            ("sm_active_ratio", "0:0"): 0.081,
            ("sm_occupancy_ratio", "0:0"): 0.121,
            ("tensor_active_ratio", "0:0"): 0.201,
            ("dram_bandwidth_ratio", "0:0"): 0.401,
            ("memory_used_bytes", "0:1"): GIB // 8,
            ("memory_total_bytes", "0:1"): 10 * GIB,
            ("memory_reserved_bytes", "0:1"): 600 << 20,
            ("sm_active_ratio", "0:1"): 0.082,
            ("sm_occupancy_ratio", "0:1"): 0.122,
            ("tensor_active_ratio", "0:1"): 0.202,
            ("dram_bandwidth_ratio", "0:1"): 0.402,
        }
    )
    whole = {key[0] for key in found if key[1] == "0"}
    assert "power_watts" in whole
    assert not whole & {"memory_used_bytes", "sm_active_ratio", "utilization_percent"}
    slow = values(rig.cycle().slow)
    assert slow["mig_enabled", "0"] == 1
    assert [key[3] for key in slow if key[:2] == ("info", "0:1")] == ["NVIDIA H100 80GB HBM3 MIG 1g.10gb"]
    assert {process.gpu_id for process in rig.cycle().processes} == {"0:0", "0:1"}


def test_instances_that_come_and_go_are_noticed(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    assert ("memory_used_bytes", "0") in rig.fast()
    stub.set("mig", 1)
    found = values(rig.cycle(10).fast)
    assert ("memory_used_bytes", "0:0") in found
    assert ("memory_used_bytes", "0") not in found
    stub.set("mig", 0)
    cards = rig.cycle(10).cards
    assert [(card.gpu_id, card.lost) for card in cards] == [("0", False)]


# Processes.


def test_processes_have_their_memory_and_their_share(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("processes", 2)
    assert make_rig(stub).cycle().processes == (
        GpuProcess("0", 1000, GIB, 0.5),
        GpuProcess("0", 1001, 2 * GIB, 0.5),
    )


def test_memory_that_the_driver_does_not_tell_is_not_known(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("process_memory", -1)
    assert make_rig(stub).cycle().processes == (GpuProcess("0", 1000, None, 0.5),)


def test_shares_are_of_new_samples_only(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.cycle()
    assert rig.cycle(10).processes == (GpuProcess("0", 1000, GIB, None),)
    assert ("nvmlDeviceGetProcessUtilization", "not_found") not in rig.failures


def test_an_idle_gpu_has_no_processes(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("processes", 0)
    assert make_rig(stub).cycle().processes == ()


# XIDs.


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    assert condition()


def test_xids_are_counted_as_they_happen(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub)
    rig.cycle()
    stub.xid(1, 79)
    stub.xid(1, 79)
    stub.xid(0, 31)
    wait_for(lambda: len(rig.told) == 3)
    assert {key: seen.count for key, seen in rig.ledger.counts().items()} == {("1", 79): 2, ("0", 31): 1}


def test_xids_are_still_heard_after_the_library_was_opened_again(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.cycle()
    stub.xid(0, 48)
    wait_for(lambda: rig.told == [("0", 48)])
    rig.source.release()
    rig.source.read()
    rig.source.reopen()
    rig.cycle()
    stub.xid(0, 48)
    wait_for(lambda: rig.told == [("0", 48), ("0", 48)])
    assert rig.ledger.counts()["0", 48].count == 2


def test_every_family_of_the_driver_is_declared(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpm_cumulative", 1)
    rig = make_rig(stub)
    rig.fast()
    snapshot = rig.cycle(10)
    assert {family for family, _ in snapshot.fast.series} == set(names.FAST)
    declared = {*names.STATIC, *names.SLOW}
    assert {family for family, _ in snapshot.slow.series} <= declared
    ampere_only = {names.GPU_RETIRED_PAGES, names.GPU_RETIRED_PAGES_PENDING}
    assert declared - {family for family, _ in snapshot.slow.series} == ampere_only
