from __future__ import annotations

import math

import pytest

from vllm_exporter.metrics.family import Family, Layout, Sample

UP = Family("vllm_test_up", "gauge", "Whether it is up.", ("server",))
STEPS = Family("vllm_test_steps_total", "counter", "Steps.")


def test_a_sample_needs_exactly_the_labels_of_its_family() -> None:
    with pytest.raises(ValueError, match=r"vllm_test_up: labels \['host'\] given, \['server'\] declared"):
        UP.sample(1, host="a")


def test_a_block_gives_its_samples_by_family() -> None:
    block = Layout([(UP, ("a",)), (STEPS, ()), (UP, ("b",))]).block([1, 12.5, 0])
    assert list(block.samples()) == [Sample(STEPS, (), 12.5), Sample(UP, ("a",), 1), Sample(UP, ("b",), 0)]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_block_knows_whether_all_its_numbers_are_finite(number: float) -> None:
    layout = Layout([(STEPS, ())])
    assert layout.block([1]).finite
    assert not layout.block([number]).finite


def test_a_layout_without_series_is_no_error() -> None:
    assert list(Layout(()).block([]).samples()) == []


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ([(UP, ())], r"vllm_test_up: label values \(\) for labels \('server',\); each must be text"),
        ([(UP, (0,))], r"vllm_test_up: label values \(0,\)"),
        ([(UP, ("a",)), (UP, ("a",))], r"vllm_test_up: the series \('a',\) is there twice"),
    ],
)
def test_a_layout_that_would_spoil_the_page_is_refused(
    series: list[tuple[Family, tuple[str, ...]]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Layout(series)


def test_too_few_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="0 numbers for 1 series"):
        Layout([(STEPS, ())]).block([])


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError):
        Layout([(STEPS, ())]).block(["1"])  # type: ignore[list-item] # what a careless plug-in might do
