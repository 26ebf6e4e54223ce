"""What is a stall, and what only looks like one."""

from __future__ import annotations

from tests.exporter.subjects.server.progress.watched import STEPS, Server, busy, hung
from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.progress import Progress


def test_a_healthy_idle_server_is_never_stalled_and_gets_a_canary_every_10_seconds() -> None:
    server = Server()
    server.sent.clear()
    assert server.seconds_until_stalled(600) is None
    assert len(server.sent) == 60  # 600 s / 10 s
    assert not server.sight.work


def test_a_hang_that_begins_idle_is_seen_although_its_gauges_stay_at_zero() -> None:
    server = Server()
    server.hang()
    while server.in_flight is None:
        server.run(1)
    assert server.sight.work
    assert server.sight.progress_age == 0  # the clock starts when the canary makes work
    assert server.seconds_until_stalled(60) == 30


def test_a_hang_from_idle_is_known_within_45_seconds() -> None:
    server = Server()
    server.hang()
    seconds = server.seconds_until_stalled(60)
    assert seconds is not None
    assert seconds <= 45  # up to 15 s until the canary, 30 s of silence


def test_a_hang_under_load_is_stalled_after_30_seconds_and_one_canary() -> None:
    server = busy(60)
    server.sent.clear()
    last_progress = server.now
    server.hang()
    assert server.seconds_until_stalled(60) == 30
    assert [sent - last_progress for sent in server.sent] == [10, 18, 26]  # at 10 s, then at once after each time-out


def test_a_stall_stays_until_something_moves() -> None:
    server = hung(5)
    assert server.run(100).stalled
    assert server.run(1, {"kv_usage": 0.1}).stalled is False


def test_a_long_prefill_in_which_only_the_kv_cache_fills_is_not_stalled() -> None:
    """Measured: iteration and token counts flat for 84 s, two canaries in a row unanswered, then all finished."""
    server = Server()
    server.set(running=1, kv_usage=0.1)
    server.run(1)
    server.hang()
    server.send()
    for step in range(1, 15):
        server.set(kv_usage=0.1 + 0.01 * step)
        assert server.seconds_until_stalled(6) is None  # a step every 6 s
    assert server.progress.canary.failures >= 2


def test_a_saturated_server_whose_canaries_all_fail_is_not_stalled_while_it_moves() -> None:
    server = Server()
    server.set(running=256, waiting=900)
    server.hang()
    server.send()
    for _ in range(300):
        assert server.run(1, {"iterations": 3}).stalled is False
    assert server.progress.canary.failures >= 2
    assert server.progress.canary.result == "timeout"
    assert server.sight.work


def test_no_canary_goes_to_a_busy_server_that_moves() -> None:
    server = busy(20)
    server.sent.clear()
    server.run(120, STEPS)
    assert server.sent == []


def test_silence_without_an_unanswered_canary_is_not_stalled() -> None:
    """An engine that answers canaries while its counts stand still cannot hang."""
    server = busy()
    before = server.values
    for _ in range(200):
        server.values = before  # the answers leave no trace in /metrics
        assert server.run(1).stalled is False


def test_an_answer_with_an_error_does_not_count_as_unanswered() -> None:
    server = Server()
    server.answers = "error"
    assert server.seconds_until_stalled(120) is None
    assert server.progress.canary.failures > 2
    assert server.sight.work is False


def test_rejections_after_a_time_out_do_not_hide_a_hang_under_load() -> None:
    """A full queue answers 503 to every canary that follows the first."""
    server = hung(5)
    server.run(18)  # sent at 10 s, timed out at 18 s
    server.answers = "error"
    assert server.seconds_until_stalled(60) == 12


def test_a_value_that_is_missing_in_one_reading_is_no_progress() -> None:
    server = hung()
    server.run(20)
    before = server.values
    server.set(iterations=None)
    server.run(1)
    server.values = before
    assert server.seconds_until_stalled(60) == 9


def engines(beside: float, hung: float) -> dict[str, EngineValues]:
    """Two engines: one has done `beside` steps, the other stands still with `hung` requests."""
    return {"0": EngineValues(2, 0, iterations=beside), "1": EngineValues(hung, 0, iterations=7)}


def look_at_two(progress: Progress, seconds: int, hung: float) -> ServerSight:
    """A server with two engines, of which only the first moves; every canary reaches that one."""
    for second in range(seconds):
        now = 2000.0 + second
        both = engines(second, hung)
        progress.saw_health(now, "ok")
        total = EngineValues(2 + hung, 0, iterations=second + 7)
        progress.saw_values(now, total, both)
        if progress.canary_due(now):
            progress.canary_sent(now)
            progress.canary_finished(now, "ok")
    return progress.sight(now)


def test_an_engine_that_hangs_beside_another_that_moves_is_a_stall() -> None:
    progress = Progress(ProbeConfig(warmup_seconds=0))
    sight = look_at_two(progress, 30, hung=3)
    assert (sight.stalled, sight.engine_ages) == (False, {"0": 0.0, "1": 29.0})
    sight = look_at_two(Progress(ProbeConfig(warmup_seconds=0)), 31, hung=3)
    assert (sight.stalled, sight.progress_age) == (True, 30.0)


def test_an_idle_engine_beside_a_busy_one_is_no_stall() -> None:
    sight = look_at_two(Progress(ProbeConfig(warmup_seconds=0)), 400, hung=0)
    assert (sight.stalled, sight.progress_age, sight.engine_ages) == (False, 0.0, {"0": 0.0, "1": 0.0})


def test_an_engine_that_stands_still_in_the_warm_up_is_given_its_time() -> None:
    assert not look_at_two(Progress(ProbeConfig()), 250, hung=3).stalled
