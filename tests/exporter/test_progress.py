"""The decision that a server is stalled, second by second on a fake clock. Numbers follow from the defaults:
30 s without progress or 5 times the longest gap, 300 s in the first 300 s, canaries of 8 s every 10 s."""

from __future__ import annotations

from dataclasses import replace

from vllm_exporter.canaries import CanaryResult
from vllm_exporter.config import ProbeConfig
from vllm_exporter.engine import EngineValues
from vllm_exporter.progress import Health, Progress, Verdict

IDLE = EngineValues(
    running=0,
    waiting=0,
    kv_usage=0.0,
    iterations=100,
    preemptions=0,
    prefix_queries=5000,
    prompt_tokens=900,
    awake=True,
)


class Server:
    """A server as the probe sees it: looked at once a second, canaries sent when due and answered as told."""

    def __init__(self, warm: bool = True, canary: bool = True, probe: ProbeConfig | None = None) -> None:
        self.progress = Progress(probe or ProbeConfig(), canary)
        self.now = 1000.0
        self.values: EngineValues | None = IDLE
        self.health: Health = "ok"
        self.answers: CanaryResult | None = "ok"  # what canaries get; None: nothing, until they time out
        self.paused_answer: bool | None = None
        self.sent: list[float] = []
        self.questions: list[float] = []
        self._in_flight: float | None = None
        if warm:
            self.look()
            self.run(400)

    def look(self) -> None:
        self.progress.saw_health(self.now, self.health)
        self.progress.saw_values(self.now, self.values if self.health != "refused" else None)
        if self.progress.pause_question_due(self.now):
            self.questions.append(self.now)
            self.progress.saw_paused(self.now, self.paused_answer)
        if self._in_flight is not None and self.now - self._in_flight >= 8:
            self._in_flight = None
            self.progress.canary_finished(self.now, "timeout")
        if self.progress.canary_due(self.now):
            self.send()

    def send(self) -> None:
        self.sent.append(self.now)
        self.progress.canary_sent(self.now)
        if self.answers is None:
            self._in_flight = self.now
            return
        self.progress.canary_finished(self.now, self.answers)
        if self.answers == "ok" and self.values is not None:
            self.set(iterations=(self.values.iterations or 0) + 1)

    def run(self, seconds: int, step: dict[str, float] | None = None) -> Verdict:
        """Looks once a second; each second every value in `step` grows by that much."""
        for _ in range(seconds):
            self.now += 1
            if self.values is not None and step:
                self.values = replace(self.values, **{k: getattr(self.values, k) + v for k, v in step.items()})
            self.look()
        return self.verdict

    @property
    def verdict(self) -> Verdict:
        return self.progress.verdict(self.now)

    def set(self, **values: float | bool | None) -> None:
        assert self.values is not None
        self.values = replace(self.values, **values)  # type: ignore[arg-type]

    def load(self) -> None:
        self.set(running=47, waiting=3, kv_usage=0.5)

    def hang(self) -> None:
        self.answers = None

    def seconds_until_stalled(self, at_most: int) -> int | None:
        return next((second for second in range(1, at_most + 1) if self.run(1).stalled), None)


def test_a_healthy_idle_server_is_never_stalled_and_gets_a_canary_every_10_seconds() -> None:
    server = Server()
    server.sent.clear()
    assert server.seconds_until_stalled(600) is None
    assert len(server.sent) == 60  # 600 s / 10 s
    assert not server.verdict.work


def test_a_hang_that_begins_idle_is_seen_although_its_gauges_stay_at_zero() -> None:
    server = Server()
    server.hang()
    while server._in_flight is None:
        server.run(1)
    assert server.verdict.work
    assert server.verdict.progress_age == 0  # the clock starts when the canary makes work
    assert server.seconds_until_stalled(60) == 30


def test_a_hang_from_idle_is_known_within_45_seconds() -> None:
    server = Server()
    server.hang()
    seconds = server.seconds_until_stalled(60)
    assert seconds is not None
    assert seconds <= 45  # up to 15 s until the canary, 30 s of silence


def test_a_hang_under_load_is_stalled_after_30_seconds_and_one_canary() -> None:
    server = Server()
    server.load()
    server.run(60, {"iterations": 20})
    server.sent.clear()
    last_progress = server.now
    server.hang()
    assert server.seconds_until_stalled(60) == 30
    assert [sent - last_progress for sent in server.sent] == [10, 18, 26]  # at 10 s, then at once after each time-out


def test_a_stall_stays_until_something_moves() -> None:
    server = Server()
    server.load()
    server.run(5, {"iterations": 20})
    server.hang()
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
    assert server.verdict.canary.failures >= 2


def test_a_saturated_server_whose_canaries_all_fail_is_not_stalled_while_it_moves() -> None:
    server = Server()
    server.set(running=256, waiting=900)
    server.hang()
    server.send()
    for _ in range(300):
        assert server.run(1, {"iterations": 3}).stalled is False
    assert server.verdict.canary.failures >= 2
    assert server.verdict.canary.result == "timeout"
    assert server.verdict.work


def test_no_canary_goes_to_a_busy_server_that_moves() -> None:
    server = Server()
    server.load()
    server.run(20, {"iterations": 20})
    server.sent.clear()
    server.run(120, {"iterations": 20})
    assert server.sent == []


def test_silence_without_an_unanswered_canary_is_not_stalled() -> None:
    """An engine that answers canaries while its counts stand still cannot hang."""
    server = Server()
    server.load()
    server.run(1)
    before = server.values
    for _ in range(200):
        server.values = before  # the answers leave no trace in /metrics
        assert server.run(1).stalled is False


def test_an_answer_with_an_error_does_not_count_as_unanswered() -> None:
    server = Server()
    server.answers = "error"
    assert server.seconds_until_stalled(120) is None
    assert server.verdict.canary.failures > 2
    assert server.verdict.work is False


def test_rejections_after_a_time_out_do_not_hide_a_hang_under_load() -> None:
    """A full queue answers 503 to every canary that follows the first."""
    server = Server()
    server.load()
    server.run(5, {"iterations": 20})
    server.hang()
    server.run(18)  # sent at 10 s, timed out at 18 s
    server.answers = "error"
    assert server.seconds_until_stalled(60) == 12


def test_without_canaries_nothing_is_ever_stalled() -> None:
    server = Server(canary=False)
    server.load()
    assert server.seconds_until_stalled(600) is None
    assert server.sent == []
    assert server.verdict.progress_age == 599


def test_slow_steps_raise_the_limit_to_five_times_the_longest_gap() -> None:
    server = Server()
    server.hang()
    server.load()
    server.run(1)
    server.run(12)
    server.run(1, {"iterations": 1})  # 13 s after the step before
    assert server.verdict.limit == 65
    assert server.seconds_until_stalled(100) == 65


def test_one_hang_that_ended_by_itself_does_not_hide_the_next_for_hours() -> None:
    server = Server()
    server.hang()
    server.load()
    server.run(100)
    server.run(1, {"iterations": 1})  # a gap of 101 s; five times that would be eight minutes
    assert server.verdict.limit == 300


def test_idle_time_is_no_gap() -> None:
    server = Server(canary=False)
    server.run(1000)
    server.load()
    assert server.run(1).limit == 30
    assert server.verdict.progress_age == 0


def test_in_the_first_five_minutes_after_ready_the_limit_is_300_seconds() -> None:
    server = Server(warm=False)
    server.look()
    server.load()
    server.run(10, {"iterations": 1})
    server.hang()
    assert server.verdict.limit == 300
    assert server.seconds_until_stalled(400) == 300


def test_a_compilation_that_outlasts_the_warm_up_keeps_the_limit_it_began_with() -> None:
    server = Server(warm=False)
    server.look()
    server.load()
    server.run(280, {"iterations": 1})
    server.hang()
    assert server.seconds_until_stalled(150) is None
    assert server.run(1, {"iterations": 1}).limit == 30  # a compilation is no measure of what comes after it


def test_warm_up_is_configurable() -> None:
    server = Server(warm=False, probe=ProbeConfig(warmup_seconds=5))
    server.look()
    server.load()
    server.run(10, {"iterations": 1})
    server.hang()
    assert server.seconds_until_stalled(60) == 30


def test_a_paused_server_is_not_stalled_and_gets_no_canary() -> None:
    server = Server()
    server.hang()
    server.paused_answer = True
    server.run(60)
    server.sent.clear()
    assert server.seconds_until_stalled(300) is None
    assert server.sent == []
    assert server.verdict.paused is True
    assert server.verdict.canary.result is None


def test_the_pause_is_asked_about_halfway_to_the_limit_and_only_then() -> None:
    server = Server()
    assert server.questions == []
    server.load()
    server.run(1)
    started = server.now
    server.hang()
    server.run(17)
    assert [asked - started for asked in server.questions] == [16]


def test_a_hang_after_a_pause_starts_a_new_clock() -> None:
    server = Server()
    server.load()
    server.run(1)
    server.hang()
    server.paused_answer = True
    server.run(200)
    server.paused_answer = None  # it no longer answers that question either
    while server.verdict.paused:
        server.run(1)
    assert server.verdict.progress_age == 0
    assert server.seconds_until_stalled(60) == 30


def test_a_resumed_server_that_works_is_not_stalled() -> None:
    server = Server()
    server.hang()
    server.paused_answer = True
    server.run(100)
    server.paused_answer, server.answers = False, "ok"
    assert server.seconds_until_stalled(100) is None
    assert server.verdict.canary.result == "ok"


def test_a_sleeping_server_is_not_stalled_and_gets_no_canary() -> None:
    server = Server()
    server.set(awake=False)
    server.hang()
    server.run(1)
    server.sent.clear()
    assert server.seconds_until_stalled(600) is None
    assert server.sent == []
    assert server.verdict.sleeping is True


def test_a_server_that_woke_up_starts_a_new_clock() -> None:
    server = Server()
    server.set(running=47, awake=False)
    server.run(600)
    server.set(awake=True)
    assert server.run(1).progress_age == 0
    assert server.verdict.sleeping is False


def test_a_server_without_vllm_families_is_unknown_but_gets_canaries() -> None:
    server = Server(warm=False)
    server.values = None
    server.run(60)
    verdict = server.verdict
    assert (verdict.stalled, verdict.work, verdict.progress_age, verdict.limit, verdict.sleeping) == (None,) * 5
    assert len(server.sent) == 6  # every 10 s


def test_metrics_that_become_unreadable_are_unknown_after_15_seconds() -> None:
    server = Server()
    server.values = None
    assert server.run(15).stalled is False
    assert server.run(1).stalled is None


def test_one_unreadable_answer_does_not_restart_the_clock() -> None:
    server = Server()
    server.load()
    server.run(1)
    server.hang()
    server.run(20)
    before, server.values = server.values, None
    server.run(2)
    server.values = before
    assert server.seconds_until_stalled(60) == 8


def test_silence_in_which_nobody_looked_is_no_evidence() -> None:
    """The exporter, or the whole machine, stood still for a minute with a canary in flight."""
    server = Server()
    server.hang()
    server.send()
    server.now += 60
    server.look()
    assert server.verdict.stalled is False
    assert server.verdict.progress_age == 0
    assert server.verdict.limit == 30


def test_counters_that_went_backwards_are_a_new_server() -> None:
    server = Server()
    server.load()
    server.run(12)
    server.run(1, {"iterations": 1})
    server.run(50)
    server.values = replace(IDLE, iterations=3, prompt_tokens=10, prefix_queries=10)
    server.answers = None
    server.run(1)
    assert server.verdict.ready_age == 0
    assert server.verdict.limit == 300  # a new warm-up, and no gap remembered
    assert server.verdict.stalled is False


def test_a_refused_connection_in_between_is_a_new_server() -> None:
    server = Server()
    server.load()
    server.hang()
    assert server.run(60).stalled
    server.health = "refused"
    verdict = server.run(3)
    assert (verdict.stalled, verdict.ready_age, verdict.canary.result) == (None, None, None)
    server.health, server.values = "ok", IDLE
    verdict = server.run(1)
    assert (verdict.stalled, verdict.ready_age, verdict.work) == (False, 0, False)


def test_a_late_failure_of_a_canary_to_the_server_before_does_not_count() -> None:
    server = Server()
    server.hang()
    server.send()
    server.health = "refused"
    server.run(2)
    server.health = "ok"
    server.answers = "ok"
    server.run(10)
    assert server.verdict.canary.failures == 0
    assert server.verdict.canary.result == "ok"


def test_a_server_that_is_not_ready_gets_no_canary() -> None:
    states: tuple[Health, ...] = ("timeout", "503", "refused", "other")
    for health in states:
        server = Server(warm=False)
        server.health = health
        server.run(60)
        assert server.sent == [], health


def test_a_saturated_health_endpoint_does_not_start_a_new_warm_up() -> None:
    server = Server()
    server.health = "timeout"
    server.run(10)
    server.health = "ok"
    verdict = server.run(1)
    assert verdict.limit == 30
    assert verdict.ready_age == 411


def test_a_canary_that_does_not_apply_is_retried_once_a_minute_and_proves_nothing() -> None:
    server = Server(warm=False)
    server.answers = "not_applicable"
    server.run(180)
    assert len(server.sent) == 3
    assert server.verdict.canary.failures == 0
    assert server.verdict.work is False


def test_a_value_that_is_missing_in_one_reading_is_no_progress() -> None:
    server = Server()
    server.load()
    server.run(1)
    server.hang()
    server.run(20)
    before = server.values
    server.set(iterations=None)
    server.run(1)
    server.values = before
    assert server.seconds_until_stalled(60) == 9


def test_the_longest_gap_outlives_an_idle_time() -> None:
    server = Server()
    server.hang()
    server.load()
    server.run(14)
    server.run(1, {"iterations": 1})
    server.answers = "ok"
    server.set(running=0, waiting=0)
    server.run(60)
    assert server.verdict.limit is not None
    assert server.verdict.limit >= 70


def engines(beside: float, hung: float) -> dict[str, EngineValues]:
    """Two engines: one has done `beside` steps, the other stands still with `hung` requests."""
    return {"0": EngineValues(2, 0, iterations=beside), "1": EngineValues(hung, 0, iterations=7)}


def look_at_two(progress: Progress, seconds: int, hung: float) -> Verdict:
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
    return progress.verdict(now)


def test_an_engine_that_hangs_beside_another_that_moves_is_a_stall() -> None:
    progress = Progress(ProbeConfig(warmup_seconds=0))
    verdict = look_at_two(progress, 30, hung=3)
    assert (verdict.stalled, verdict.engine_ages) == (False, {"0": 0.0, "1": 29.0})
    verdict = look_at_two(Progress(ProbeConfig(warmup_seconds=0)), 31, hung=3)
    assert (verdict.stalled, verdict.progress_age) == (True, 30.0)


def test_an_idle_engine_beside_a_busy_one_is_no_stall() -> None:
    verdict = look_at_two(Progress(ProbeConfig(warmup_seconds=0)), 400, hung=0)
    assert (verdict.stalled, verdict.progress_age, verdict.engine_ages) == (False, 0.0, {"0": 0.0, "1": 0.0})


def test_an_engine_that_stands_still_in_the_warm_up_is_given_its_time() -> None:
    assert not look_at_two(Progress(ProbeConfig()), 250, hung=3).stalled
