"""GPM, NVIDIA's counters of what a GPU's units do: ratios between two samples, and what is there without them."""

from __future__ import annotations

from tests.exporter.subjects.gpu.nvml.rig import MakeRig, values
from tests.exporter.subjects.gpu.stub import Stub


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
