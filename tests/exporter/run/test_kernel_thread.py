from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.exporter.fakes import SUBJECT, FakeClock, LogLines, collector, yields
from vllm_exporter.config.config import Config
from vllm_exporter.metrics.family import Sample
from vllm_exporter.run.collector import Context
from vllm_exporter.run.kernel_thread import Wheel
from vllm_exporter.run.runner import Runner


def runner(name: str, clock: FakeClock, log: LogLines, interval: float = 1.0) -> Runner:
    cls = collector(yields(*range(100)), interval=interval)
    return Runner(name, lambda: cls(Context(Config(), clock)), cls, clock, 15.0, log)


def test_each_collector_is_due_at_its_own_interval(clock: FakeClock, log_lines: LogLines) -> None:
    runners = [runner("fast", clock, log_lines), runner("slow", clock, log_lines, 10.0)]
    wheel = Wheel(runners, clock, threading.Event())
    assert [turn.runner.name for turn in wheel.due(clock.monotonic())] == ["fast", "slow"]
    for turn in wheel.due(clock.monotonic()):
        assert wheel.run_turn(turn)
    assert wheel.due(clock.monotonic()) == []
    assert [turn.runner.name for turn in wheel.due(clock.monotonic() + 1)] == ["fast"]
    assert [turn.runner.name for turn in wheel.due(clock.monotonic() + 10)] == ["fast", "slow"]


def test_a_wheel_that_does_not_hang_is_not_relieved(clock: FakeClock, log_lines: LogLines) -> None:
    started: list[str] = []
    wheel = Wheel([runner("fast", clock, log_lines)], clock, threading.Event())
    assert wheel.relieve(lambda body, name: started.append(name)) == ""
    assert started == []


def test_one_that_hangs_is_left_alone_and_the_others_get_a_new_thread(clock: FakeClock, log_lines: LogLines) -> None:
    started: list[str] = []
    relieved: list[str] = []

    def hang() -> Iterator[Sample]:
        for seconds in (4.9, 0.2, 100):
            clock.advance(seconds)
            relieved.append(wheel.relieve(lambda body, name: started.append(name)))
        yield SUBJECT.sample(1)

    cls = collector(hang)
    hung = Runner("hung", lambda: cls(Context(Config(), clock)), cls, clock, 15.0, log_lines)
    wheel = Wheel([hung, runner("good", clock, log_lines)], clock, threading.Event())
    goes_on = wheel.run_turn(wheel.due(clock.monotonic())[0])
    assert (relieved, started) == (["", "hung", ""], ["collectors-1"])
    assert not goes_on
    assert [turn.runner.name for turn in wheel.due(clock.monotonic())] == ["good"]


def test_where_no_thread_can_be_started_all_is_as_before_and_may_be_tried_again(
    clock: FakeClock, log_lines: LogLines
) -> None:
    started: list[str] = []

    def start(body: Callable[[], None], name: str) -> None:
        started.append(name)
        if len(started) == 1:
            raise RuntimeError("can't start new thread")

    def hang() -> Iterator[Sample]:
        clock.advance(6)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            wheel.relieve(start)
        assert [turn.runner.name for turn in wheel.due(clock.monotonic())] == ["hung", "good"]
        assert wheel.relieve(start) == "hung"
        yield SUBJECT.sample(1)

    cls = collector(hang)
    hung = Runner("hung", lambda: cls(Context(Config(), clock)), cls, clock, 15.0, log_lines)
    wheel = Wheel([hung, runner("good", clock, log_lines)], clock, threading.Event())
    assert not wheel.run_turn(wheel.due(clock.monotonic())[0])
    assert (hung.view().result, started) == ("ok", ["collectors-1", "collectors-1"])
    assert [turn.runner.name for turn in wheel.due(clock.monotonic())] == ["good"]


def test_one_that_hangs_where_no_thread_can_be_started_keeps_its_turn_when_it_ends(
    clock: FakeClock, log_lines: LogLines
) -> None:
    def start(body: Callable[[], None], name: str) -> None:
        raise RuntimeError("can't start new thread")

    def hang() -> Iterator[Sample]:
        clock.advance(6)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            wheel.relieve(start)
        yield SUBJECT.sample(1)

    cls = collector(hang)
    hung = Runner("hung", lambda: cls(Context(Config(), clock)), cls, clock, 15.0, log_lines)
    wheel = Wheel([hung], clock, threading.Event())
    assert wheel.run_turn(wheel.due(clock.monotonic())[0])
    assert hung.view().result == "ok"
    assert [turn.runner.name for turn in wheel.due(clock.monotonic() + 1)] == ["hung"]


def test_an_empty_wheel_ends_at_once(clock: FakeClock) -> None:
    Wheel([], clock, threading.Event()).run()
