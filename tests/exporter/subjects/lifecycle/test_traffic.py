"""Idle, serving, saturated, thrashing."""

from __future__ import annotations

from tests.exporter.subjects.lifecycle.telling import values
from vllm_exporter.subjects.lifecycle.evidence import LifecycleLimits
from vllm_exporter.subjects.lifecycle.traffic import TrafficMeter

LIMITS = LifecycleLimits(quiet=10.0, saturated=5.0, thrash_window=30.0, thrash_share=0.5, thrash_least=5)


def test_a_canary_does_not_make_an_idle_server_serve() -> None:
    meter = TrafficMeter(LIMITS)
    assert meter.look(0, values(iterations=100)) == "idle"
    assert meter.look(1, values(running=1, iterations=101)) == "idle"
    assert meter.look(2, values(iterations=102)) == "idle"


def test_many_steps_between_two_looks_are_work_though_no_request_was_seen() -> None:
    meter = TrafficMeter(LIMITS)
    meter.look(0, values(iterations=100))
    assert meter.look(1, values(iterations=104)) == "serving"


def test_a_pause_between_requests_is_no_change() -> None:
    meter = TrafficMeter(LIMITS)
    meter.look(0, values(running=3))
    assert meter.look(1, values(running=3)) == "serving"
    assert meter.look(10, values()) == "serving"
    assert meter.look(12, values()) == "idle"


def test_one_that_served_before_the_first_look_is_idle_only_after_a_quiet_time() -> None:
    meter = TrafficMeter(LIMITS, busy=True)
    assert meter.look(100, values()) == "serving"
    assert meter.look(109, values()) == "serving"
    assert meter.look(110, values()) == "idle"


def test_a_burst_that_waits_a_moment_saturates_nothing() -> None:
    meter = TrafficMeter(LIMITS)
    for second in range(40):
        waiting = 3 if second % 4 < 3 else 0
        assert meter.look(second, values(running=3, waiting=waiting, iterations=100 + 10 * second)) != "saturated"


def test_requests_that_wait_at_each_look_saturate() -> None:
    meter = TrafficMeter(LIMITS)
    states = [meter.look(second, values(running=3, waiting=2)) for second in range(7)]
    assert states[4] == "serving"
    assert states[5] == "saturated"
    assert meter.look(8, values(running=3)) == "saturated"
    assert meter.look(11.5, values(running=3)) == "serving"


def test_as_many_preemptions_as_half_the_sequences_thrash() -> None:
    meter = TrafficMeter(LIMITS)
    meter.look(0, values(running=20, waiting=5, preemptions=0))
    assert meter.look(1, values(running=20, waiting=5, preemptions=9)) != "thrashing"
    assert meter.look(2, values(running=20, waiting=5, preemptions=10)) == "thrashing"
    assert meter.look(40, values(running=20, waiting=5, preemptions=10)) != "thrashing"


def test_a_server_whose_work_is_done_thrashes_no_more() -> None:
    meter = TrafficMeter(LIMITS)
    meter.look(0, values(running=4, waiting=5, preemptions=0))
    assert meter.look(1, values(running=4, waiting=5, preemptions=9)) == "thrashing"
    assert meter.look(2, values(preemptions=9)) != "thrashing"
    assert meter.look(3, values(running=1, preemptions=9)) != "thrashing"


def test_few_preemptions_of_a_small_server_do_not_thrash() -> None:
    meter = TrafficMeter(LIMITS)
    meter.look(0, values(running=2, preemptions=0))
    assert meter.look(1, values(running=2, preemptions=4)) != "thrashing"


def test_a_counter_that_began_anew_is_no_movement() -> None:
    meter = TrafficMeter(LIMITS)
    meter.look(0, values(iterations=1000, preemptions=50))
    assert meter.look(1, values(iterations=0, preemptions=0)) == "idle"
    assert not meter.moved


def test_silence_keeps_what_was_known() -> None:
    meter = TrafficMeter(LIMITS)
    meter.look(0, values(running=3))
    meter.look(1, values(running=3))
    assert meter.look(2, None) == "serving"
    assert not meter.moved
