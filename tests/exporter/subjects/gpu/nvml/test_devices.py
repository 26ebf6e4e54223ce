"""MIG instances, processes on a GPU, and XIDs as they happen."""

from __future__ import annotations

import pytest

from tests.exporter.subjects.gpu.nvml.rig import GIB, MakeRig, values
from tests.exporter.subjects.gpu.stub import Stub
from tests.patience import wait_for
from vllm_exporter.subjects.gpu.source import GpuProcess


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
