"""Calls that fail, GPUs that are lost, and a driver that is opened again: what is said, and what goes on."""

from __future__ import annotations

import pytest

from tests.exporter.subjects.gpu.nvml.rig import GIB, MakeRig, values
from tests.exporter.subjects.gpu.stub import Stub


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
    assert rig.source.closed_because == "the NVIDIA driver is loaded, but has no GPU that this process may use"
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
