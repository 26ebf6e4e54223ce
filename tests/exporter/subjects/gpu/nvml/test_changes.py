"""What changes while the library is open, and drivers that are not of the age or the mind that is expected."""

from __future__ import annotations

import math

import pytest

from tests.exporter.subjects.gpu.nvml.rig import GIB, MakeRig, values
from tests.exporter.subjects.gpu.stub import Stub
from vllm_exporter.subjects.gpu.source import GpuProcess


def test_what_a_split_gpu_refused_is_asked_again_when_it_is_whole(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    stub.set("mig", 1)
    assert ("utilization_percent", "0") not in rig.fast()
    stub.set("mig", 0)
    assert values(rig.cycle(10).fast)["utilization_percent", "0"] == 50


def test_what_is_no_longer_supported_drops_out_alone_and_is_counted_once(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    rig.fast()
    stub.fault("nvmlDeviceGetPerformanceState", 3)
    stub.fault("nvmlDeviceGetPersistenceMode", 3)
    for _ in range(3):
        snapshot = rig.cycle(10)
    assert ("performance_state", "0") not in values(snapshot.fast)
    assert ("persistence_mode", "0") not in values(snapshot.slow)
    assert values(snapshot.fast)["utilization_percent", "0"] == 50
    assert rig.failures["nvmlDeviceGetPerformanceState", "not_supported"] == 1
    assert rig.failures["nvmlDeviceGetPersistenceMode", "not_supported"] == 1


def test_instances_that_were_made_anew_between_two_looks_are_read_by_their_new_handles(
    stub: Stub, make_rig: MakeRig
) -> None:
    stub.set("mig", 2)
    rig = make_rig(stub)
    rig.fast()
    stub.set("mig_remade", 1)
    assert ("memory_used_bytes", "0:0") not in values(rig.cycle().fast)
    found = values(rig.cycle(10).fast)
    assert found["memory_used_bytes", "0:0"] == found["memory_used_bytes", "0:1"] == GIB // 8


def test_instances_that_stay_are_not_looked_for_again_and_again(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("mig", 2)
    stub.fault("nvmlDeviceGetVbiosVersion", 3)
    rig = make_rig(stub)
    rig.fast()
    for _ in range(3):
        rig.cycle(10)
    assert rig.failures["nvmlDeviceGetVbiosVersion", "not_supported"] == 3  # of each device, at the start


def test_instances_of_a_lost_gpu_have_no_static_values_either(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set("mig", 1)
    rig = make_rig(stub)
    assert {key[1] for key in values(rig.cycle().slow)} == {"0", "0:0", "1", "1:0"}
    stub.fault("nvmlDeviceGetPerformanceState", 15, gpu=0)
    assert {key[1] for key in values(rig.cycle(10).slow)} == {"1", "1:0"}


def test_gpus_that_do_not_tell_their_uuid_are_not_taken_for_one(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.fault("nvmlDeviceGetUUID", 999)
    rig = make_rig(stub)
    rig.fast()
    snapshot = rig.cycle()
    found = values(snapshot.fast)
    assert found["pcie_transmit_bytes_total", "0"] == 197_000
    assert found["pcie_transmit_bytes_total", "1"] == 197_001
    assert [key[2] for key in values(snapshot.slow) if key[0] == "info"] == ["", ""]


def test_a_gpu_without_a_performance_state_comes_back_too(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.fault("nvmlDeviceGetPerformanceState", 3)
    rig = make_rig(stub)
    rig.fast()
    stub.fault("nvmlDeviceGetMemoryInfo_v2", 15, gpu=1)
    assert rig.cycle().cards[1].lost
    stub.heal()
    stub.fault("nvmlDeviceGetPerformanceState", 3)
    assert not rig.cycle(10).cards[1].lost


def test_a_driver_of_2020_tells_processes_by_an_older_function(old_stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(old_stub)
    assert rig.cycle().processes == (GpuProcess("0", 1000, GIB, 0.5),)
    assert rig.failures["nvmlDeviceGetComputeRunningProcesses_v3", "function_not_found"] == 1


def test_no_samples_of_processes_are_no_failure_in_whatever_way_it_is_said(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("no_shares", 0)
    rig = make_rig(stub)
    rig.cycle()
    assert rig.cycle(10).processes == (GpuProcess("0", 1000, GIB, None),)
    assert "nvmlDeviceGetProcessUtilization" not in {function for function, _ in rig.failures}


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -1.0])
def test_a_number_of_links_that_is_none_is_no_link(stub: Stub, make_rig: MakeRig, nonsense: float) -> None:
    stub.set("gpus", 2)
    stub.set("field.91.type", 0)  # double
    stub.set("field.91", nonsense)
    stub.set("field.147.type", 0)
    stub.set("field.147", nonsense)
    snapshot = make_rig(stub).cycle()
    assert not [key for key in values(snapshot.slow) if key[0] == "nvlink_links"]
    assert values(snapshot.slow)["power_limit_watts", "0"] == 700


def test_after_an_update_of_the_driver_it_says_what_to_do(stub: Stub, make_rig: MakeRig) -> None:
    stub.fault("nvmlInitWithFlags", 18)
    rig = make_rig(stub)
    rig.source.read()
    assert rig.source.closed_because == (
        "the NVIDIA driver and its library are of different releases: restart vllm-exporter (its container), "
        "or the host if that does not help"
    )
    assert rig.failures["nvmlInit", "version_mismatch"] == 1
