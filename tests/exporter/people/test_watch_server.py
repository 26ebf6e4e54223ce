"""How long a server is watched, with an API that answers from a script; time does not pass but by sleeping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import EngineValues, Health
from vllm_exporter.people import watch_server as looking
from vllm_exporter.people.hang.evidence import HangEvidence
from vllm_exporter.people.watch_server import look
from vllm_exporter.subjects.server.api import DeepAnswer, DeepProbe, PauseAnswer, ServerInfo, VllmApi
from vllm_exporter.subjects.server.canaries import NO_TOKENS, CanaryResult, CanaryTokens
from vllm_exporter.subjects.server.engine import EngineReading

IDLE = EngineValues(0, 0, kv_usage=0.0, generation_tokens=10, awake=True)
BUSY = replace(IDLE, running=3)
NOT_OFFERED = DeepAnswer(False, supported=False)


class Time:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Server(VllmApi):
    """`values` gives those at a number of seconds."""

    def __init__(self, time: Time, values: Callable[[float], EngineValues], canary: CanaryResult = "ok") -> None:
        self.deep_answers: dict[str, DeepAnswer] = {}
        self.broken = False
        self.canaries = 0
        self._time, self._started = time, time.now
        self._values, self._canary = values, canary

    def health(self) -> Health:
        return "ok"

    def engine(self) -> EngineReading | None:
        if self.broken:
            raise SourceError("status 500")
        values = self._values(self._time.now - self._started)
        return EngineReading(values, {"0": values}, {})

    def canary(self) -> tuple[CanaryResult, CanaryTokens]:
        self.canaries += 1
        return self._canary, NO_TOKENS

    def pause(self) -> PauseAnswer:
        return PauseAnswer(None)

    def deep(self, probe: DeepProbe) -> DeepAnswer:
        return self.deep_answers.get(probe, NOT_OFFERED)

    def about(self) -> ServerInfo:
        return ServerInfo()

    def forget_model(self) -> None:
        return

    def close(self) -> None:
        return


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(looking, "time", made)
    return made


def seconds_watched(server: Server) -> tuple[float, HangEvidence]:
    seen = look(server, HangEvidence("a:1", "ok"), send_canary=True, seconds=10.0, longest=30.0)
    return seen.seconds, seen


def test_a_server_that_gives_output_needs_4_seconds(time: Time) -> None:
    server = Server(time, lambda at: replace(BUSY, generation_tokens=10 + at * 50))
    assert seconds_watched(server)[0] == 4.0


def test_an_idle_one_that_answers_the_canary_too(time: Time) -> None:
    watched, seen = seconds_watched(Server(time, lambda at: IDLE))
    assert (watched, seen.canary, seen.moved) == (4.0, "ok", False)


def test_one_that_moves_without_output_is_watched_for_the_time_asked(time: Time) -> None:
    server = Server(time, lambda at: replace(BUSY, kv_usage=0.1 * (at // 6)))
    watched, seen = seconds_watched(server)
    assert (watched, seen.moved, seen.produced) == (10.0, True, False)


def test_one_that_moves_late_is_watched_until_it_does(time: Time) -> None:
    server = Server(time, lambda at: replace(BUSY, kv_usage=0.1 if at >= 21 else 0.0))
    watched, seen = seconds_watched(server)
    assert (watched, seen.moved) == (21.0, True)


def test_one_that_does_not_move_is_watched_longest(time: Time) -> None:
    watched, seen = seconds_watched(Server(time, lambda at: BUSY, "timeout"))
    assert (watched, seen.still_seconds, seen.canary) == (30.0, 30.0, "timeout")


def test_an_unanswered_canary_is_work(time: Time) -> None:
    assert seconds_watched(Server(time, lambda at: IDLE, "timeout"))[0] == 30.0


@pytest.mark.parametrize("probe", ["is_paused", "is_sleeping"])
def test_a_server_that_is_held_gets_no_canary_and_no_longer_look(time: Time, probe: str) -> None:
    server = Server(time, lambda at: BUSY)
    server.deep_answers[probe] = DeepAnswer(True, yes=True)
    watched, _ = seconds_watched(server)
    assert (watched, server.canaries) == (4.0, 0)


def test_a_paused_engine_says_that_it_sleeps_but_its_metrics_do_not(time: Time) -> None:
    """As measured: with 0.32.0 /is_sleeping is true in a pause, while engine_sleep_state stays awake."""
    server = Server(time, lambda at: BUSY)
    server.deep_answers = {"is_paused": DeepAnswer(True, yes=True), "is_sleeping": DeepAnswer(True, yes=True)}
    _, seen = seconds_watched(server)
    assert (seen.paused, seen.sleeping, seen.engine_answers) == (True, False, True)
    asleep = Server(time, lambda at: replace(IDLE, awake=False))
    asleep.deep_answers = server.deep_answers
    assert seconds_watched(asleep)[1].sleeping is True


def test_an_engine_that_does_not_answer_deep_probes_is_told_from_one_that_has_none(time: Time) -> None:
    server = Server(time, lambda at: IDLE)
    assert seconds_watched(server)[1].engine_answers is None
    server.deep_answers["is_paused"] = DeepAnswer(False, 3.0)
    assert seconds_watched(server)[1].engine_answers is False


def test_metrics_that_cannot_be_read_are_said_after_the_time_asked(time: Time) -> None:
    server = Server(time, lambda at: IDLE)
    server.broken = True
    _, seen = seconds_watched(server)
    assert (seen.samples, seen.problem) == ((), "status 500")
    assert time.now == 1010.0
