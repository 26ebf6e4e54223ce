"""How long a server may stand still: 30 s, longer after long gaps, and longest while it warms up."""

from __future__ import annotations

import pytest

from tests.exporter.subjects.server.progress.watched import STEPS, Server, hung, moved_after
from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.subjects.server.gaps import EngineEffort


def test_slow_steps_raise_the_limit_to_five_times_the_longest_gap() -> None:
    server = moved_after(13)
    assert server.sight.stall_limit == 65
    assert server.seconds_until_stalled(100) == 65


@pytest.mark.parametrize("seconds", [31, 60, 100, 600])
def test_a_hang_that_ended_by_itself_is_no_measure_of_the_next(seconds: int) -> None:
    """The limit was 300 s afterwards, for the life of the process and over restarts of the exporter."""
    server = moved_after(seconds)
    assert server.sight.stall_limit == 30
    assert server.run(1, STEPS).stall_limit == 30
    assert server.seconds_until_stalled(100) == 30


def working(server: Server, seconds: int, cores: float, stopped: bool = False, gpu: float | None = None) -> None:
    """Silence in which the processes are seen to use so much, every other second."""
    for second in range(seconds):
        if second % 2 == 0:
            server.used += 2 * cores
            server.progress.saw_effort(server.now, EngineEffort(server.used, stopped, gpu))
        server.run(1)


def test_a_long_step_in_which_the_engine_worked_is_a_measure() -> None:
    server = hung()
    working(server, 40, cores=1.0)
    assert server.run(1, STEPS).stall_limit == 205  # 5 * 41 s


def test_a_long_step_on_the_gpu_is_a_measure_too() -> None:
    server = hung()
    working(server, 40, cores=0.01, gpu=0.97)
    assert server.run(1, STEPS).stall_limit == 205


@pytest.mark.parametrize("seconds", [20, 28, 60])
def test_a_silence_of_a_stopped_process_is_no_measure(seconds: int) -> None:
    server = hung()
    working(server, seconds, cores=0.0, stopped=True, gpu=1.0)
    assert server.run(1, STEPS).stall_limit == 30


def test_a_silence_in_which_nothing_was_computed_is_no_measure() -> None:
    server = hung()
    working(server, 20, cores=0.02, gpu=0.0)
    assert server.run(1, STEPS).stall_limit == 30


def test_a_canary_that_waited_for_an_idle_engine_is_no_measure() -> None:
    server = Server()
    server.hang()
    server.run(25)
    server.answers = "ok"
    assert server.run(1, STEPS).stall_limit == 30


def test_requests_that_only_waited_are_no_measure() -> None:
    server = Server()
    server.set(running=0, waiting=3)
    server.hang()
    server.run(20)
    assert server.run(1, STEPS).stall_limit == 30


def test_a_gap_counts_for_an_hour_and_half_as_much_an_hour_later() -> None:
    server = moved_after(20)
    server.answers = "ok"
    server.set(running=0, waiting=0)
    server.run(3500)
    assert server.sight.stall_limit == 100
    server.run(3700)
    assert server.sight.stall_limit == pytest.approx(50, abs=0.1)
    server.run(3600)
    assert server.sight.stall_limit == 30


def test_a_shorter_gap_takes_the_place_of_one_that_is_long_ago() -> None:
    server = moved_after(20)
    server.answers = "ok"
    server.run(3 * 3600, STEPS)
    server.hang()
    server.run(11)
    assert server.run(1, STEPS).stall_limit == 60  # 5 * 12 s; of the 20 s only 5 count by now


def test_the_longest_gap_outlives_an_idle_time() -> None:
    server = moved_after(14)
    server.answers = "ok"
    server.set(running=0, waiting=0)
    server.run(60)
    assert server.sight.stall_limit is not None
    assert server.sight.stall_limit >= 70


def test_idle_time_is_no_gap() -> None:
    server = Server()
    server.run(1000)
    server.load()
    assert server.run(1).stall_limit == 30
    assert server.sight.progress_age == 0


def test_silence_in_which_nobody_looked_is_no_evidence() -> None:
    """The exporter, or the whole machine, stood still for a minute with a canary in flight."""
    server = Server()
    server.hang()
    server.send()
    server.now += 60
    server.look()
    assert server.sight.stalled is False
    assert server.sight.progress_age == 0
    assert server.sight.stall_limit == 30


def test_in_the_first_five_minutes_after_ready_the_limit_is_300_seconds() -> None:
    server = hung(10, Server(warm=False))
    assert server.sight.stall_limit == 300
    assert server.seconds_until_stalled(400) == 300


def test_a_compilation_that_outlasts_the_warm_up_keeps_the_limit_it_began_with() -> None:
    server = hung(280, Server(warm=False))
    assert server.seconds_until_stalled(150) is None
    assert server.run(1, {"iterations": 1}).stall_limit == 30  # a compilation is no measure of what comes after it


def test_warm_up_is_configurable() -> None:
    server = hung(10, Server(warm=False, probe=ProbeConfig(warmup_seconds=5)))
    assert server.seconds_until_stalled(60) == 30


def test_a_saturated_health_endpoint_does_not_start_a_new_warm_up() -> None:
    server = Server()
    server.health = "timeout"
    server.run(10)
    server.health = "ok"
    sight = server.run(1)
    assert sight.stall_limit == 30
    assert sight.ready_age == 411
