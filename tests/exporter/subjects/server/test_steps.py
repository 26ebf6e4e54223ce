"""The clock of an engine's steps."""

from __future__ import annotations

from vllm_exporter.facts.facts import EngineStep, ServerSteps
from vllm_exporter.subjects.server.steps import StepClock, StepsMade


def report(until: float, *steps: tuple[float, bool]) -> ServerSteps:
    return ServerSteps(until, {str(number): EngineStep(at, work) for number, (at, work) in enumerate(steps)})


def clock(*reports: ServerSteps) -> StepClock:
    made = StepClock()
    for one in reports:
        made.saw(one)
    return made


def test_the_first_report_is_no_movement() -> None:
    assert StepClock().saw(report(100, (40, True))) == StepsMade(None, 0.0)


def test_a_step_that_takes_six_seconds_is_measured_as_six() -> None:
    seen = clock(report(100, (99, True)), report(103, (99, True)))
    assert seen.saw(report(106, (105, True))) == StepsMade(105, 6.0)


def test_the_time_without_requests_is_no_step() -> None:
    assert clock(report(100, (99, False))).saw(report(200, (199, True))) == StepsMade(199, 0.0)


def test_a_report_without_a_new_step_moves_nothing() -> None:
    assert clock(report(100, (99, True))).saw(report(101, (99, True))) == StepsMade(None, 0.0)


def test_the_slowest_engine_counts_and_the_newest_step() -> None:
    made = clock(report(100, (99, True), (98, True))).saw(report(103, (102, True), (101.5, True)))
    assert made == StepsMade(102, 3.5)


def test_ages_are_as_of_the_report_and_an_engine_without_requests_has_none() -> None:
    assert clock(report(100, (88, True), (40, False))).ages() == {"0": 12.0, "1": 0.0}


def test_a_pause_is_forgiven() -> None:
    seen = clock(report(100, (40, True)))
    seen.forgive(95)
    assert seen.ages() == {"0": 5.0}
    assert seen.saw(report(101, (100.5, True))) == StepsMade(100.5, 5.5)


def test_an_engine_that_is_new_or_gone_disturbs_nothing() -> None:
    seen = clock(report(100, (99, True), (99, True)))
    assert seen.saw(report(101, (100, True))) == StepsMade(100, 1.0)
    assert seen.saw(report(102, (101, True), (101, True))) == StepsMade(101, 1.0)


def test_steps_that_were_made_while_nobody_looked_are_no_slow_one() -> None:
    assert clock(report(100, (99, True))).saw(report(160, (159, True))) == StepsMade(159, 0.0)


def test_a_step_of_20_seconds_that_was_watched_is_a_slow_one() -> None:
    seen = clock(*(report(100 + second, (99, True)) for second in range(19)))
    assert seen.saw(report(119.5, (119, True))) == StepsMade(119, 20.0)


def test_a_report_goes_stale_when_an_api_server_is_silent() -> None:
    seen = clock(report(100, (99, True)))
    assert seen.fresh(105.0)
    assert not seen.fresh(105.1)
    assert not StepClock().fresh(0.0)
