"""What the driver says of a GPU, family by family. The answers are those of nvml_stub.c."""

from __future__ import annotations

from tests.exporter.subjects.gpu.nvml.rig import GIB, MakeRig, values
from tests.exporter.subjects.gpu.stub import Stub
from vllm_exporter.subjects.gpu import families as names


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


def test_every_family_of_the_driver_is_declared(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpm_cumulative", 1)
    rig = make_rig(stub)
    rig.fast()
    snapshot = rig.cycle(10)
    assert {family for (family, _), _ in snapshot.fast} == set(names.FAST)
    declared = {*names.STATIC, *names.SLOW}
    assert {family for (family, _), _ in snapshot.slow} <= declared
    ampere_only = {names.GPU_RETIRED_PAGES, names.GPU_RETIRED_PAGES_PENDING}
    assert declared - {family for (family, _), _ in snapshot.slow} == ampere_only
