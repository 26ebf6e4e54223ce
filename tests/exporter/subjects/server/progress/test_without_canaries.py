"""Servers that get no canary: 120 s of silence, or twice the usual limit, while requests run."""

from __future__ import annotations

from tests.exporter.subjects.server.progress.watched import STEPS, Server, busy, hung
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.progress import Progress


def blind(warm: bool = True) -> Server:
    return Server(canary=False, warm=warm)


def test_a_hang_under_load_is_stalled_after_two_minutes() -> None:
    server = busy(60, blind())
    assert server.sight.stall_limit == 120
    assert server.seconds_until_stalled(200) == 120
    assert server.sent == []


def test_a_long_prefill_in_which_the_kv_cache_fills_every_minute_is_none() -> None:
    server = blind()
    server.set(running=1, kv_usage=0.1)
    server.run(1)
    for step in range(1, 15):
        server.set(kv_usage=0.1 + 0.01 * step)
        assert server.seconds_until_stalled(60) is None
    assert server.sent == []


def test_long_gaps_raise_the_limit_to_ten_times_the_longest() -> None:
    server = busy(1, blind())
    server.run(19)
    server.run(1, STEPS)
    assert server.sight.stall_limit == 200  # 2 * 5 * 20 s
    assert server.seconds_until_stalled(300) == 200


def test_a_silence_that_begins_in_the_warm_up_has_ten_minutes() -> None:
    server = busy(10, blind(warm=False))
    assert server.sight.stall_limit == 600
    assert server.seconds_until_stalled(599) is None
    assert server.seconds_until_stalled(1) == 1


def test_an_idle_server_is_never_stalled() -> None:
    assert blind().seconds_until_stalled(1000) is None


def test_requests_that_only_wait_are_no_stall() -> None:
    """They may wait for the KV blocks of another server, or for a grammar."""
    server = blind()
    server.set(running=0, waiting=3)
    assert server.seconds_until_stalled(1000) is None
    assert server.sight.progress_age == 999


def test_neither_a_pause_nor_a_sleep_is_a_stall() -> None:
    paused = busy(1, blind())
    paused.paused_answer = True
    assert paused.seconds_until_stalled(1000) is None
    asleep = busy(1, blind())
    asleep.set(awake=False)
    assert asleep.seconds_until_stalled(1000) is None


def test_a_server_that_refuses_canaries_is_measured_alike() -> None:
    """A pooling model, or a wrong API key, that nobody told us of."""
    server = Server(warm=False)
    server.answers = "not_applicable"
    server.run(400)
    assert hung(1, server).sight.stall_limit == 120
    server.answers = "not_applicable"
    assert server.seconds_until_stalled(200) == 120


def test_one_answer_gives_back_the_usual_limit() -> None:
    server = Server(warm=False)
    server.answers = "not_applicable"
    server.run(400)
    server.answers = "ok"
    server.run(60)
    assert server.sight.stall_limit == 30


def test_one_of_several_engines_has_as_long() -> None:
    server = blind()
    progress: Progress = server.progress
    for second in range(122):
        moving, still = EngineValues(2, 0, iterations=second), EngineValues(3, 0, iterations=7)
        now = server.now + 1 + second
        progress.saw_values(now, EngineValues(5, 0, iterations=200 + second), {"0": moving, "1": still})
        assert progress.sight(now).stalled is (second >= 120)
