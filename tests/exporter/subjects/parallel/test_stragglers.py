"""Which rank holds the others up, decided from made-up looks."""

from __future__ import annotations

import pytest

from vllm_exporter.subjects.parallel.stragglers import RankHistory, RankLook, StepRate, judge, measure, skew


def pace(
    stopped: float = 0,
    blocked: float = 0,
    cpu: float = 0.9,
    starved: float | None = 0.01,
    step: float | None = None,
) -> StepRate:
    return StepRate(30, stopped, blocked, cpu, starved, step)


FINE = pace()


def reasons(paces: list[StepRate], lockstep: bool = True, working: bool = True) -> list[str | None]:
    verdicts = judge({f"TP{at}": one for at, one in enumerate(paces)}, lockstep, working)
    return [one.reason for one in verdicts.values()]


def test_ranks_that_do_the_same_all_keep_up() -> None:
    assert reasons([FINE, FINE, FINE, FINE]) == [None] * 4
    assert reasons([FINE]) == [None]


@pytest.mark.parametrize(
    ("slow", "reason"),
    [
        (pace(stopped=0.2), "stopped"),
        (pace(blocked=0.5), "blocked"),
        (pace(starved=0.4), "starved"),
        (pace(cpu=0.4), "little_cpu"),
    ],
)
def test_the_one_that_differs_is_named_with_the_reason(slow: StepRate, reason: str) -> None:
    assert reasons([FINE, slow]) == [None, reason]
    assert reasons([FINE, slow, FINE, FINE]) == [None, reason, None, None]


@pytest.mark.parametrize(
    "all_alike", [pace(stopped=1.0), pace(blocked=0.5), pace(starved=0.5), pace(cpu=0.0), pace(step=9.0)]
)
def test_what_befalls_all_makes_none_a_straggler(all_alike: StepRate) -> None:
    assert reasons([all_alike, all_alike]) == [None, None]


def test_cpu_times_compare_only_in_lockstep_and_with_work() -> None:
    slow = pace(cpu=0.4)
    assert reasons([FINE, slow], lockstep=False) == [None, None], "replicas have other requests"
    assert reasons([FINE, slow], working=False) == [None, None]
    assert reasons([pace(cpu=0.1), pace(cpu=0.01)]) == [None, None], "idle"


def test_a_stopped_replica_is_a_straggler_too() -> None:
    assert reasons([FINE, pace(stopped=0.3)], lockstep=False) == [None, "stopped"]


def test_step_times_tell_who_is_slow() -> None:
    assert reasons([pace(step=0.010), pace(step=0.014)]) == [None, "slow_steps"]
    assert reasons([pace(step=0.010), pace(step=0.012)]) == [None, None]
    assert reasons([pace(step=0.010), FINE]) == [None, None], "only one counts its steps"


def test_says_it_in_words() -> None:
    found = judge({"TP0": pace(step=0.010), "TP1": pace(step=0.014)}, lockstep=True, working=True)
    assert found["TP1"].words == "takes 14.0 ms a step, the others 10.0 ms"


def test_skew_is_the_slowest_above_the_median() -> None:
    assert skew({"a": pace(step=0.010), "b": pace(step=0.010), "c": pace(step=0.015)}) == pytest.approx(0.5)
    assert skew({"a": pace(step=0.010), "b": FINE}) is None


def test_measures_a_window() -> None:
    looks = [
        RankLook(0.0, "R", 10.0, 1.0, 100, 5.0),
        RankLook(10.0, "T", 14.0, 2.0, 150, 6.0),
        RankLook(20.0, "D", 20.0, 3.0, 200, 7.0),
        RankLook(30.0, "T", 25.0, 4.0, 250, 8.0),
    ]
    found = measure(looks, 30.0)
    assert (found.seconds, found.stopped, found.blocked, found.cpu) == (30.0, 0.5, 0.25, 0.5)
    assert found.starved == pytest.approx(0.1)
    assert found.step == pytest.approx(0.02)


def test_what_the_kernel_or_the_rank_does_not_say_stays_unknown() -> None:
    found = measure([RankLook(0.0, "S", 1.0), RankLook(10.0, "S", 1.0)], 10.0)
    assert (found.starved, found.step) == (None, None)


def test_nothing_is_said_before_ten_seconds_and_looks_older_than_the_window_are_forgotten() -> None:
    history = RankHistory()
    assert history.pace() is None
    history.add(RankLook(0.0, "T", 0.0))
    history.add(RankLook(9.0, "S", 0.0))
    assert history.pace() is None
    for at in range(10, 50):
        history.add(RankLook(float(at), "S", 0.0))
    found = history.pace()
    assert found is not None
    assert (found.seconds, found.stopped) == (30.0, 0.0)
