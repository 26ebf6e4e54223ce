"""Servers of which a stall cannot be said: paused, asleep, not readable, not ready, or no longer the same."""

from __future__ import annotations

from dataclasses import replace

from tests.exporter.subjects.server.progress.watched import IDLE, Server, busy, hung
from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.facts.values import Health


def test_a_paused_server_is_not_stalled_and_gets_no_canary() -> None:
    server = Server()
    server.hang()
    server.paused_answer = True
    server.run(60)
    server.sent.clear()
    assert server.seconds_until_stalled(300) is None
    assert server.sent == []
    assert server.sight.paused is True
    assert server.progress.canary.result is None


def test_the_pause_is_asked_about_after_10_seconds_without_progress_and_then_every_5() -> None:
    server = hung()
    started = server.now
    server.run(17)
    assert [asked - started for asked in server.questions] == [10, 15]


def test_in_the_warm_up_the_pause_is_asked_about_as_early() -> None:
    """Its limit is 300 s: half of that would leave a paused server suspect for 150 s."""
    server = hung(10, Server(warm=False))
    server.paused_answer = True
    server.run(10)
    assert server.sight.paused is True


def test_nobody_asks_a_server_that_moves_or_has_nothing_to_do() -> None:
    server = busy(60)
    server.set(running=0, waiting=0)
    server.run(60)
    assert server.questions == []


def test_a_shorter_limit_is_asked_about_halfway() -> None:
    server = hung(1, Server(probe=ProbeConfig(stall_seconds=8, warmup_seconds=1)))
    started = server.now
    server.run(4)
    assert [asked - started for asked in server.questions] == [4]


def test_a_hang_after_a_pause_starts_a_new_clock() -> None:
    server = hung()
    server.paused_answer = True
    server.run(200)
    server.paused_answer = None  # it no longer answers that question either
    while server.sight.paused:
        server.run(1)
    assert server.sight.progress_age == 0
    assert server.seconds_until_stalled(60) == 30


def test_a_resumed_server_that_works_is_not_stalled() -> None:
    server = Server()
    server.hang()
    server.paused_answer = True
    server.run(100)
    server.paused_answer, server.answers = False, "ok"
    assert server.seconds_until_stalled(100) is None
    assert server.progress.canary.result == "ok"


def test_a_sleeping_server_is_not_stalled_and_gets_no_canary() -> None:
    server = Server()
    server.set(awake=False)
    server.hang()
    server.run(1)
    server.sent.clear()
    assert server.seconds_until_stalled(600) is None
    assert server.sent == []
    assert server.sight.sleeping is True


def test_a_server_that_woke_up_starts_a_new_clock() -> None:
    server = Server()
    server.set(running=47, awake=False)
    server.run(600)
    server.set(awake=True)
    assert server.run(1).progress_age == 0
    assert server.sight.sleeping is False


def test_a_server_without_vllm_families_is_unknown_but_gets_canaries() -> None:
    server = Server(warm=False)
    server.values = None
    server.run(60)
    sight = server.sight
    assert (sight.stalled, sight.work, sight.progress_age, sight.stall_limit, sight.sleeping) == (None,) * 5
    assert len(server.sent) == 6  # every 10 s


def test_metrics_that_become_unreadable_are_unknown_after_15_seconds() -> None:
    server = Server()
    server.values = None
    assert server.run(15).stalled is False
    assert server.run(1).stalled is None


def test_one_unreadable_answer_does_not_restart_the_clock() -> None:
    server = hung()
    server.run(20)
    before, server.values = server.values, None
    server.run(2)
    server.values = before
    assert server.seconds_until_stalled(60) == 8


def test_counters_that_went_backwards_are_a_new_server() -> None:
    server = Server()
    server.load()
    server.run(12)
    server.run(1, {"iterations": 1})
    server.run(50)
    server.values = replace(IDLE, iterations=3, prompt_tokens=10, prefix_queries=10)
    server.answers = None
    server.run(1)
    assert server.sight.ready_age == 0
    assert server.sight.stall_limit == 300  # a new warm-up, and no gap remembered
    assert server.sight.stalled is False


def test_a_refused_connection_in_between_is_a_new_server() -> None:
    server = Server()
    server.load()
    server.hang()
    assert server.run(60).stalled
    server.health = "refused"
    sight = server.run(3)
    assert (sight.stalled, sight.ready_age, server.progress.canary.result) == (None, None, None)
    server.health, server.values = "ok", IDLE
    sight = server.run(1)
    assert (sight.stalled, sight.ready_age, sight.work) == (False, 0, False)


def test_a_late_failure_of_a_canary_to_the_server_before_does_not_count() -> None:
    server = Server()
    server.hang()
    server.send()
    server.health = "refused"
    server.run(2)
    server.health = "ok"
    server.answers = "ok"
    server.run(10)
    assert server.progress.canary.failures == 0
    assert server.progress.canary.result == "ok"


def test_a_server_that_is_not_ready_gets_no_canary() -> None:
    states: tuple[Health, ...] = ("timeout", "503", "refused", "other")
    for health in states:
        server = Server(warm=False)
        server.health = health
        server.run(60)
        assert server.sent == [], health


def test_a_canary_that_does_not_apply_is_retried_once_a_minute_and_proves_nothing() -> None:
    server = Server(warm=False)
    server.answers = "not_applicable"
    server.run(180)
    assert len(server.sent) == 3
    assert server.progress.canary.failures == 0
    assert server.sight.work is False
