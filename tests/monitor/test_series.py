"""The numbers of a process: bounded, and always such as the exporter reads them."""

from __future__ import annotations

import pytest

from vllm_monitor.series import MAX_VALUES, Series


def test_a_series_keeps_its_place() -> None:
    series = Series()
    first = series.place("counter", "vllm_requests_total", status="success")
    series.place("counter", "vllm_requests_total", status="error")
    series.count(series.place("counter", "vllm_requests_total", status="success"), 2)
    assert series.values[first] == 2
    assert len(series.values) == 2


def test_a_value_is_counted_in_the_first_bucket_that_it_does_not_exceed() -> None:
    series = Series()
    histogram = series.histogram("vllm_request_latency_seconds", (0.1, 1.0))
    for value in (0.05, 0.1, 0.2, 5.0):
        series.observe(histogram, value)
    assert list(series.values) == [2, 1, 1, pytest.approx(5.35)]


def test_label_values_beyond_the_most_are_summed_as_other() -> None:
    series = Series()
    for adapter in ("a", "b", "c", "d"):
        series.count(series.place("counter", "vllm_x_total", 2, adapter=adapter))
    assert series.directory().splitlines()[-1].endswith("adapter=other")
    assert list(series.values) == [1, 1, 2]


def test_two_label_values_that_look_alike_once_printable_are_one_series() -> None:
    series = Series()
    assert series.place("counter", "vllm_x_total", adapter="a\t") == series.place(
        "counter", "vllm_x_total", adapter="a\n"
    )
    assert len(series.directory().splitlines()) == 1


def test_a_process_that_invents_series_is_refused_when_its_file_is_full() -> None:
    series = Series()
    for number in range(MAX_VALUES):
        series.place("counter", f"vllm_y{number}")
    with pytest.raises(ValueError, match="no room for another series of vllm_z"):
        series.place("counter", "vllm_z")
    assert len(series.values) == MAX_VALUES
