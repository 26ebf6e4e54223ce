"""What the benchmark computes."""

from __future__ import annotations

import pytest

from deploy.simulator.load.run import Report
from tests.e2e.harness.figures import Figure
from tests.simulator.bench.exposition import falling, moving, parse
from tests.simulator.bench.fidelity import Point, calibrate, compare_readings, compare_times, merge

TEXT = """\
# HELP vllm:x_total Words.
# TYPE vllm:x_total counter
vllm:x_total{engine="0"} %s
# HELP vllm:g Words.
# TYPE vllm:g gauge
vllm:g{engine="0"} %s
"""


def test_calibration_finds_the_line_that_made_the_points() -> None:
    points = [Point(tokens, 0.004 + 0.00003 * tokens) for tokens in (1, 16, 900)]
    base, per_token = calibrate(points)
    assert base == pytest.approx(0.004)
    assert per_token == pytest.approx(0.00003)


def test_only_counters_count_as_falling() -> None:
    readings = [parse(TEXT % (5, 9)), parse(TEXT % (4, 3))]
    assert falling(readings) == ["vllm:x_total [('engine', '0')]"]
    assert falling([parse(TEXT % (4, 9)), parse(TEXT % (4, 3))]) == []


def test_moving_is_what_went_up() -> None:
    assert moving([parse(TEXT % (1, 1)), parse(TEXT % (2, 2))]) == {"vllm:x_total"}


def test_the_same_readings_differ_in_nothing() -> None:
    readings = [parse(TEXT % (1, 1)), parse(TEXT % (2, 2))]
    assert all(figure.ok for figure in compare_readings(readings, readings))


def test_another_label_is_a_difference() -> None:
    theirs = [parse(TEXT % (1, 1))]
    ours = [parse((TEXT % (1, 1)).replace("engine", "motor"))]
    assert [figure.values for figure in compare_readings(theirs, ours)] == [(0.0,), (4.0,), (0.0,), (0.0,)]


def test_a_factor_is_above_one_whichever_is_larger() -> None:
    (figure,) = compare_times(Report(whole=[2.0]), Report(whole=[1.0]))
    assert figure.values == (2.0,)
    assert figure.ok


def test_runs_become_repetitions_of_one_figure() -> None:
    runs = [[Figure("factor", "x", (value,), 2.0)] for value in (1.2, 2.5)]
    assert merge(runs) == [Figure("factor", "x", (1.2, 2.5), 2.0)]
