"""Nobody is told of anything on a made-up day on which nothing is wrong; benchmarks/false_alarms.py has whole ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.alerts.days.course import FLEET, HOUR, line
from tests.alerts.days.evaluation import evaluate, needed_groups
from tests.alerts.days.made_up import courses, series
from tests.alerts.toolchain import COMMAND_SECONDS, Tools

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(COMMAND_SECONDS + 20)]

SEED = "morning"


def test_nobody_is_told_of_anything_while_servers_are_restarted_and_traffic_comes(tools: Tools) -> None:
    """From a quarter to eight until nine: the restarts of the morning."""
    first, scrapes = 31 * HOUR // 4, 5 * HOUR // 4
    fleet = courses(SEED, first, scrapes)
    for server in FLEET:
        assert {"draining", "exited", "loading", "serving"} <= {one.word for one in fleet[server]}
    told = evaluate(tools.promtool, SEED, series(SEED, first, fleet), scrapes)
    assert (told.pages, told.warnings) == ({}, {})
    assert set(told.notices) == {"VllmHealed"}  # the healer saw each start and its end


def test_people_are_told_of_a_server_that_ends_on_such_a_day_and_that_nobody_starts(tools: Tools) -> None:
    first, scrapes = 12 * HOUR, HOUR // 4
    fleet = courses(SEED, first, scrapes)
    began = 20
    fleet[FLEET[0]][began:] = [
        replace(one, word="exited", since=began, rate=0.0, phase="") for one in fleet[FLEET[0]][began:]
    ]
    told = evaluate(tools.promtool, SEED, series(SEED, first, fleet), scrapes)
    assert set(told.pages) == {"VllmDownUnhealed"}


def test_a_series_is_written_as_promtool_reads_it() -> None:
    values = [None, None, 1.0, 1.0, 1.0, 2.5, None, None, 3.0, None, 4e9]
    written = line("up", {"job": "x"}, values)
    assert written == {"series": 'up{job="x"}', "values": "_x2 1x2 2.5 stale _x1 3 stale 4000000000"}


def test_a_seed_means_the_same_day_each_time_and_another_seed_another_day() -> None:
    first, again, other = (list(series(seed, 0, courses(seed, 0, 200))) for seed in ("1.1", "1.1", "1.2"))
    assert first == again
    assert first != other


def test_all_alerts_are_evaluated_and_no_series_that_they_do_not_read() -> None:
    rules = [rule for group in needed_groups() for rule in group["rules"]]
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert {"VllmDown", "VllmDownUnhealed", "GpuHot", "DiskFilling", "SloBurnFast"} <= alerts
    assert "server:vllm_up:max" in recorded
    assert "fleet:vllm_requests:rate1m" not in recorded
