from __future__ import annotations

from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.nvml.calls import Output
from vllm_exporter.subjects.gpu.nvml.plan import Cell, Meter, Plan, reasons


def test_numbers_are_taken_and_brought_to_the_unit_of_their_family() -> None:
    plan = Plan(
        [
            Cell("0", Output(names.GPU_POWER_WATTS, divide=1000), 2),
            Cell("0", Output(names.GPU_UTILIZATION_PERCENT), 0),
            Cell("1", Output(names.GPU_CLOCK_HERTZ, "sm", multiply=1_000_000), 1),
        ]
    )
    assert plan.series == (
        (names.GPU_UTILIZATION_PERCENT, ("0",)),
        (names.GPU_POWER_WATTS, ("0",)),
        (names.GPU_CLOCK_HERTZ, ("1", "sm")),
    )
    assert plan.numbers((97, 1980, 412_345)) == [97, 412.345, 1_980_000_000]


def test_a_mask_becomes_a_series_for_each_reason() -> None:
    plan = Plan([Cell("0", Output(names.GPU_THROTTLE_ACTIVE, mask=True), 0)])
    reasons_in_order = [values[1] for _, values in plan.series]
    assert reasons_in_order[:3] == ["idle", "application_clocks", "sw_power_cap"]
    assert plan.numbers((0x45,)) == [1, 0, 1, 0, 0, 0, 1, 0]


def test_a_bit_that_has_no_name_is_left_out() -> None:
    assert reasons(0x100) == (0, 0, 0, 0, 0, 0, 0, 0)


def test_nothing_is_planned_for_nothing() -> None:
    plan = Plan([])
    assert plan.series == ()
    assert plan.numbers((1, 2)) == []


def test_a_counter_that_wraps_at_32_bits_goes_on() -> None:
    meter = Meter()
    assert meter.add(4_294_967_290) == 4_294_967_290
    assert meter.add(4) == 4_294_967_300
    assert meter.add(10) == 4_294_967_306


def test_a_larger_counter_that_starts_again_goes_on_from_where_it_was() -> None:
    meter = Meter()
    meter.add(10_000_000_000)
    assert meter.add(5) == 10_000_000_005


def test_a_wrapping_counter_keeps_its_meter_from_one_plan_to_the_next() -> None:
    meter = Meter()
    cell = Cell("0", Output(names.GPU_PCIE_TRANSMIT_BYTES_TOTAL, wraps=True), 0, meter)
    assert Plan([cell]).numbers((4_294_967_295,)) == [4_294_967_295]
    assert Plan([cell]).numbers((0,)) == [4_294_967_296]
