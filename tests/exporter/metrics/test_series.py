from __future__ import annotations

import math

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.metrics.series import Layout, SeriesCache

UP = Family("vllm_test_up", "gauge", "Whether it is up.", ("server",))
STEPS = Family("vllm_test_steps_total", "counter", "Steps.")


def test_keeps_the_layout_while_the_series_stay_the_same() -> None:
    cache = SeriesCache([UP])
    first = cache.block([UP.sample(1, server="a")])
    second = cache.block([UP.sample(0, server="a")])
    third = cache.block([UP.sample(0, server="b")])
    assert first.layout is second.layout
    assert third.layout is not first.layout
    assert [sample.value for sample in (*first.samples(), *second.samples())] == [1, 0]


def test_two_series_that_swap_their_places_keep_their_values() -> None:
    cache = SeriesCache([UP])
    for rows in (
        [UP.sample(1, server="a"), UP.sample(2, server="b")],
        [UP.sample(2, server="b"), UP.sample(1, server="a")],
    ):
        assert {sample.values: sample.value for sample in cache.block(rows).samples()} == {("a",): 1, ("b",): 2}


def test_gives_the_samples_of_a_family_together() -> None:
    block = SeriesCache([UP, STEPS]).block([UP.sample(1, server="a"), STEPS.sample(12.5), UP.sample(0, server="b")])
    assert list(block.samples()) == [STEPS.sample(12.5), UP.sample(1, server="a"), UP.sample(0, server="b")]


def test_of_two_values_of_one_series_the_first_counts() -> None:
    cache = SeriesCache([UP])
    for _ in range(2):
        block = cache.block([UP.sample(1, server="a"), UP.sample(0, server="a"), UP.sample(3, server="b")])
        assert [sample.value for sample in block.samples()] == [1, 3]


def test_nothing_is_an_empty_block() -> None:
    assert list(SeriesCache([UP]).block([]).samples()) == []


def test_a_family_that_is_not_declared_is_refused_each_time() -> None:
    cache = SeriesCache([UP])
    for _ in range(2):
        with pytest.raises(SourceError, match="yields vllm_test_steps_total, which its `metrics` do not declare"):
            cache.block([STEPS.sample(5)])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (((UP, ()), 1.0), r"vllm_test_up: label values \(\) for labels \('server',\); each must be text"),
        (((UP, (0,)), 1.0), r"vllm_test_up: label values \(0,\)"),
    ],
)
def test_label_values_that_would_spoil_the_page_are_refused(row: Row, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        SeriesCache([UP]).block([row])


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_block_knows_whether_all_its_numbers_are_finite(number: float) -> None:
    layout = Layout([(STEPS, ())])
    assert layout.block([1]).finite
    assert not layout.block([number]).finite


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError):
        Layout([(STEPS, ())]).block(["1"])  # type: ignore[list-item] # what a careless plug-in might do
