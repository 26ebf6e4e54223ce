"""The load generator's plan."""

from __future__ import annotations

import pytest

from deploy.simulator.errors import OptionError
from deploy.simulator.load.client import Endpoint, Timing
from deploy.simulator.load.command import parse_targets
from deploy.simulator.load.plan import LoadOptions, plan
from deploy.simulator.load.run import Report


def test_the_same_seed_gives_the_same_load() -> None:
    options = LoadOptions(rate=20, seconds=10)
    assert list(plan(options, 3)) == list(plan(options, 3))
    assert list(plan(options, 3)) != list(plan(LoadOptions(rate=20, seconds=10, seed=1), 3))


def test_as_many_requests_as_the_rate_says_on_all_servers() -> None:
    arrivals = list(plan(LoadOptions(rate=50, seconds=40), 4))
    assert 1800 < len(arrivals) < 2200
    assert max(arrival.at for arrival in arrivals) < 40
    assert {arrival.server for arrival in arrivals} == {0, 1, 2, 3}


def test_lengths_are_bounded_and_about_the_median() -> None:
    wishes = [arrival.wish for arrival in plan(LoadOptions(rate=50, seconds=40, output_tokens=100, longest=300), 1)]
    lengths = sorted(wish.max_tokens for wish in wishes)
    assert lengths[-1] == 300
    assert 85 < lengths[len(lengths) // 2] < 115


def test_some_prompts_begin_as_others_do() -> None:
    wishes = [arrival.wish for arrival in plan(LoadOptions(rate=50, seconds=20, shared_share=0.3), 1)]
    shared = sum(str(wish.prompt).startswith("You are") for wish in wishes)
    assert 0.2 < shared / len(wishes) < 0.4


def test_a_report_takes_times_only_of_what_was_answered() -> None:
    report = Report()
    report.add(Timing("ok", 1.0, 0.2, 0.05))
    report.add(Timing("TimeoutError", 60.0))
    assert report.medians == {"time_to_first_token": 0.2, "inter_token_latency": 0.05, "request": 1.0}
    assert report.words().startswith("1 ok, 1 TimeoutError; medians: time_to_first_token 200 ms")


def test_a_load_without_requests_says_so() -> None:
    assert Report().words() == "no requests"


def test_targets_are_host_and_port() -> None:
    assert parse_targets("a:1, http://b:2", "sim", "") == [Endpoint("a", 1), Endpoint("b", 2)]
    with pytest.raises(OptionError, match="'a' has no host or no port"):
        parse_targets("a", "sim", "")
