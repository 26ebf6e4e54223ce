"""PCIe bytes, which the driver counts in 32 bits, when the count falls: it wrapped, or the GPU was reset."""

from __future__ import annotations

import pytest

from tests.exporter.subjects.gpu.nvml.rig import MakeRig, Rig, values
from tests.exporter.subjects.gpu.stub import Stub
from vllm_exporter.subjects.gpu.nvml.wrapping import WrappingCounter

SENT = "field.197"
ENERGY = "field.83"  # mJ
NEAR_THE_END = 4_294_967_000  # 296 bytes before 32 bits are full


def sent(rig: Rig, gpu: int = 0, seconds: float = 1.0) -> float:
    return values(rig.cycle(seconds).fast)["pcie_transmit_bytes_total", str(gpu)]


def test_a_count_that_wraps_goes_on(stub: Stub, make_rig: MakeRig) -> None:
    stub.set(SENT, NEAR_THE_END)
    rig = make_rig(stub)
    assert sent(rig) == 4_294_967_000
    stub.set(SENT, 704)
    assert sent(rig) == 4_294_968_000
    stub.set(SENT, 1704)
    assert sent(rig) == 4_294_969_000


def test_a_count_that_grows_is_shown_as_it_is(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub)
    for count in (0, 5, 5, 1_000_000, 4_294_967_295):
        stub.set(SENT, count)
        assert sent(rig) == count


def test_a_reset_while_the_driver_is_released_adds_what_was_counted_since(stub: Stub, make_rig: MakeRig) -> None:
    stub.set(SENT, 3_000_000_000)
    rig = make_rig(stub)
    assert sent(rig) == 3_000_000_000
    rig.close()
    stub.set(SENT, 500)
    rig.source.reopen()
    assert sent(rig) == 3_000_000_500
    stub.set(SENT, 700)
    assert sent(rig) == 3_000_000_700


def test_a_release_without_a_reset_loses_nothing(stub: Stub, make_rig: MakeRig) -> None:
    stub.set(SENT, 3_000_000_000)
    rig = make_rig(stub)
    sent(rig)
    rig.close()
    stub.set(SENT, 3_000_000_040)
    rig.source.reopen()
    assert sent(rig) == 3_000_000_040


def test_after_a_reset_wraps_are_wraps_again(stub: Stub, make_rig: MakeRig) -> None:
    stub.set(SENT, 1000)
    rig = make_rig(stub)
    sent(rig)
    rig.close()
    stub.set(SENT, 10)
    rig.source.reopen()
    assert sent(rig) == 1010
    stub.set(SENT, NEAR_THE_END)
    assert sent(rig) == 4_294_968_000
    stub.set(SENT, 4)
    assert sent(rig) == 4_294_968_300


def test_a_gpu_that_was_lost_and_is_back_starts_its_count_again(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set(SENT, 3_000_000_000)
    rig = make_rig(stub)
    sent(rig)
    stub.fault("*", 15, gpu=1)
    rig.cycle()
    stub.heal()
    stub.set(SENT, 20, gpu=1)
    assert sent(rig, 1, seconds=10) == 3_000_000_020
    assert sent(rig, 0) == 3_000_000_000


def test_a_reset_that_no_call_tells_of_shows_in_counts_that_never_wrap(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set(SENT, 3_000_000_000)
    rig = make_rig(stub)
    sent(rig)
    stub.set(SENT, 20)
    stub.set(ENERGY, 1, gpu=1)
    found = values(rig.cycle().fast)
    assert found["pcie_transmit_bytes_total", "1"] == 3_000_000_020
    assert found["pcie_transmit_bytes_total", "0"] == 4_294_967_316  # its energy went on: a wrap
    assert found["pcie_receive_bytes_total", "1"] == 198_001


def test_a_fall_beside_a_failed_call_is_no_wrap(stub: Stub, make_rig: MakeRig) -> None:
    stub.set(SENT, 3_000_000_000)
    rig = make_rig(stub)
    sent(rig)
    stub.fault("nvmlDeviceGetUtilizationRates", 999)
    stub.set(SENT, 20)
    assert sent(rig) == 3_000_000_020


def test_a_count_that_could_not_be_read_for_a_while_may_have_started_again(stub: Stub, make_rig: MakeRig) -> None:
    stub.set(SENT, 3_000_000_000)
    rig = make_rig(stub)
    sent(rig)
    stub.set(f"{SENT}.code", 999)
    assert ("pcie_transmit_bytes_total", "0") not in values(rig.cycle().fast)
    stub.set(f"{SENT}.code", 0)
    stub.set(SENT, 20)
    assert sent(rig, seconds=10) == 3_000_000_020


def test_calls_that_go_on_failing_turn_no_wrap_into_a_reset(stub: Stub, make_rig: MakeRig) -> None:
    stub.set(SENT, NEAR_THE_END)
    stub.fault("nvmlDeviceGetPerformanceState", 999)
    rig = make_rig(stub)
    sent(rig)
    stub.set(SENT, 704)
    assert sent(rig, seconds=10) == 4_294_968_000  # the readings have been arranged anew just before


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ([100, 40], [100, 140]),
        ([100, 100], [100, 100]),
        ([100, 130], [100, 130]),
        ([100, 40, 20], [100, 140, 4_294_967_416]),
        ([0, 0], [0, 0]),
    ],
)
def test_only_the_first_count_after_a_pause_is_in_doubt(counts: list[int], shown: list[int]) -> None:
    meter = WrappingCounter()
    found = [meter.add(counts[0])]
    meter.pause()
    meter.pause()
    found += [meter.add(count) for count in counts[1:]]
    assert found == shown


def test_a_count_that_wraps_at_32_bits_goes_on() -> None:
    meter = WrappingCounter()
    assert [meter.add(count) for count in (4_294_967_290, 4, 10)] == [4_294_967_290, 4_294_967_300, 4_294_967_306]


def test_a_larger_count_that_starts_again_goes_on_from_where_it_was() -> None:
    meter = WrappingCounter()
    assert [meter.add(count) for count in (10_000_000_000, 5)] == [10_000_000_000, 10_000_000_005]


def test_a_meter_that_is_paused_before_its_first_count_shows_it() -> None:
    meter = WrappingCounter()
    meter.pause()
    assert meter.add(4_000_000_000) == 4_000_000_000
