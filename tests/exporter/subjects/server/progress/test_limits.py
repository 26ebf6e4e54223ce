"""How long a server may stand still: 30 s, longer after long gaps, and longest while it warms up."""

from __future__ import annotations

from tests.exporter.subjects.server.progress.watched import Server, hung, moved_after
from vllm_exporter.config.config import ProbeConfig


def test_slow_steps_raise_the_limit_to_five_times_the_longest_gap() -> None:
    server = moved_after(13)
    assert server.sight.stall_limit == 65
    assert server.seconds_until_stalled(100) == 65


def test_one_hang_that_ended_by_itself_does_not_hide_the_next_for_hours() -> None:
    server = moved_after(100)  # five times that would be eight minutes
    assert server.sight.stall_limit == 300


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
