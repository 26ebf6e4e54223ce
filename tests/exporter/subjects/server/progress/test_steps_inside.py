"""Stalls where the part inside vLLM reports each step: 12 s (0.4 of 30), or 5 times the slowest step."""

from __future__ import annotations

from tests.exporter.subjects.server.progress.watched import STEPS, Server, busy
from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.facts.facts import EngineStep, ServerSteps


class Inside(Server):
    """A server whose plug-in reports; each engine makes a step a second while it has work, unless it is stopped."""

    def __init__(self, engines: int = 1, **named: object) -> None:
        self.work = [False] * engines
        self.stopped: set[int] = set()
        self.last = [900.0] * engines
        self.step_seconds = 1
        self.silent_since: float | None = None  # an API server is frozen
        super().__init__(**named)  # type: ignore[arg-type]

    def look(self) -> None:
        for engine, work in enumerate(self.work):
            if work and engine not in self.stopped and self.now - self.last[engine] >= self.step_seconds:
                self.last[engine] = self.now
        until = self.now if self.silent_since is None else self.silent_since
        known = zip(self.last, self.work, strict=True)
        steps = {str(number): EngineStep(at, work) for number, (at, work) in enumerate(known)}
        self.progress.saw_steps(self.now, ServerSteps(until, steps))
        super().look()

    def work_for(self, seconds: int) -> None:
        self.load()
        self.work = [True] * len(self.work)
        self.run(seconds)


def stopped(*engines: int, of: int = 1) -> Inside:
    """A warm server under load, of whose engines these have just stopped."""
    server = Inside(of)
    server.work_for(60)
    server.sent.clear()
    server.stopped = set(engines)
    return server


def test_a_stopped_engine_is_stalled_after_12_seconds_and_one_canary() -> None:
    server = stopped(0)
    server.hang()
    began = server.now
    assert server.seconds_until_stalled(60) == 12
    assert [sent - began for sent in server.sent] == [4, 12]  # at a third of the limit, then after the time-out
    assert server.sight.stall_limit == 12


def test_an_answered_canary_is_progress_as_ever() -> None:
    server = stopped(0)
    assert server.seconds_until_stalled(120) is None


def test_a_step_without_any_value_that_changes_is_progress() -> None:
    server = Inside()
    server.work_for(60)
    server.hang()
    assert server.seconds_until_stalled(300) is None


def test_steps_of_3_seconds_are_never_a_stall_though_no_canary_is_answered() -> None:
    server = Inside()
    server.step_seconds = 3
    server.work_for(60)
    server.hang()
    assert server.seconds_until_stalled(600) is None
    assert server.sight.stall_limit == 15  # five times the slowest


def test_the_limit_is_never_below_three_times_the_slowest_step() -> None:
    server = Inside()
    for seconds in (2, 4, 6, 9):
        server.step_seconds = seconds
        server.work_for(30)
        assert server.sight.stall_limit is not None
        assert server.sight.stall_limit >= 3 * seconds


def test_a_hang_that_ends_by_itself_is_no_measure_of_steps() -> None:
    server = stopped(0)
    server.hang()
    server.run(30)
    server.stopped = set()
    server.run(10)
    assert server.sight.stall_limit == 12


def test_the_warm_up_has_its_limit() -> None:
    server = Inside(warm=False)
    server.look()
    server.work_for(20)
    server.stopped = {0}
    server.hang()
    assert server.seconds_until_stalled(310) == 300


def test_a_hang_from_idle_is_stalled_12_seconds_after_the_canary_that_found_it() -> None:
    server = Inside()
    server.stopped = {0}
    server.hang()
    while server.in_flight is None:
        server.run(1)
    assert server.seconds_until_stalled(60) == 12


def test_an_idle_server_is_never_stalled_however_old_its_last_step() -> None:
    server = Inside()
    server.sent.clear()
    assert server.seconds_until_stalled(600) is None
    assert len(server.sent) == 60


def test_one_stopped_engine_of_two_is_stalled_though_the_other_answers_and_vllm_shows_no_request_of_it() -> None:
    server = stopped(1, of=2)
    server.set(running=0, waiting=0)
    assert server.seconds_until_stalled(60) == 12
    assert server.sight.engine_ages == {"0": 0.0, "1": 12.0}


def test_an_engine_of_two_that_is_idle_is_not_stalled() -> None:
    server = Inside(2)
    server.work_for(60)
    server.work[1] = False
    assert server.seconds_until_stalled(120) is None


def test_a_frozen_api_server_is_no_stalled_engine() -> None:
    """Steps go to the frozen one, so their age means nothing, nor what /metrics shows of each engine. What it shows of
    all is judged as ever."""
    server = Inside(2)
    server.work_for(60)
    server.silent_since, server.stopped = server.now, {0, 1}
    assert server.values is not None
    for _ in range(120):
        server.progress.saw_values(server.now, server.values, {"0": server.values, "1": server.values})
        assert server.run(1, STEPS).stalled is False
    assert server.sight.stall_limit == 30
    assert server.sight.engine_ages == {}


def test_a_paused_server_is_not_stalled_and_its_pause_is_forgiven() -> None:
    server = stopped(0)
    server.hang()
    server.paused_answer = True
    assert server.seconds_until_stalled(120) is None
    server.paused_answer = False
    assert server.seconds_until_stalled(10) is None


def test_a_server_without_canaries_keeps_its_long_limit() -> None:
    server = Inside(canary=False)
    server.work_for(60)
    server.stopped = {0}
    assert server.seconds_until_stalled(200) == 120


def test_a_longer_stall_seconds_counts_for_steps_in_proportion() -> None:
    server = Inside(probe=ProbeConfig(stall_seconds=100))
    server.work_for(60)
    assert server.sight.stall_limit == 40


def test_without_the_part_inside_nothing_has_changed() -> None:
    assert busy(60).sight.stall_limit == 30


def test_an_exporter_that_did_not_look_for_a_minute_takes_no_step_for_a_slow_one() -> None:
    server = Inside()
    server.work_for(60)
    server.now += 60
    server.work_for(5)
    assert server.sight.stall_limit == 12


def test_a_clock_that_is_ahead_hides_no_stall() -> None:
    """A container with a time namespace of its own."""
    server = busy(60)
    server.progress.saw_steps(server.now, ServerSteps(server.now + 1e6, {"0": EngineStep(server.now + 1e6, work=True)}))
    server.hang()
    assert server.seconds_until_stalled(60) == 30


def test_a_clock_that_is_behind_is_as_if_nobody_reported() -> None:
    server = busy(60)
    server.progress.saw_steps(server.now, ServerSteps(10.0, {"0": EngineStep(5.0, work=True)}))
    server.hang()
    assert server.seconds_until_stalled(60) == 30
