"""When the next canary is due, and what the past ones prove."""

from __future__ import annotations

import pytest

from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.subjects.server.canaries import Canaries, CanaryResult


@pytest.fixture
def canaries() -> Canaries:
    return Canaries(ProbeConfig())


def send(canaries: Canaries, sent: float, finished: float, result: CanaryResult) -> None:
    canaries.send(sent)
    canaries.finish(finished, result)


def test_the_first_is_due_at_once(canaries: Canaries) -> None:
    assert canaries.due(100, None)


def test_an_idle_server_gets_one_every_10_seconds(canaries: Canaries) -> None:
    send(canaries, 100, 101, "ok")
    assert not canaries.due(109.9, None)
    assert canaries.due(110, None)


def test_a_busy_server_gets_one_after_10_seconds_without_progress(canaries: Canaries) -> None:
    assert not canaries.due(100, 9.9)
    assert canaries.due(100, 10)


@pytest.mark.parametrize("result", ["timeout", "error"])
def test_a_failure_is_repeated_at_once_busy_or_not(canaries: Canaries, result: CanaryResult) -> None:
    send(canaries, 100, 108, result)
    assert canaries.due(108, None)
    assert canaries.due(108, 0)


def test_there_is_never_a_second_one_in_flight(canaries: Canaries) -> None:
    canaries.send(100)
    assert not canaries.due(1000, 1000)


def test_the_one_in_flight_at_a_reset_still_blocks_the_next_but_proves_nothing(canaries: Canaries) -> None:
    canaries.send(100)
    canaries.reset()
    assert not canaries.due(101, None)
    assert not canaries.unanswered
    assert not canaries.unanswered_since(0, 200)
    assert not canaries.finish(108, "timeout")
    assert canaries.state().result is None
    assert canaries.due(108, None)


def test_one_counts_as_unanswered_after_its_whole_time_out(canaries: Canaries) -> None:
    canaries.send(100)
    assert canaries.unanswered
    assert not canaries.unanswered_since(100, 107.9)
    assert canaries.unanswered_since(100, 108)


def test_only_one_sent_inside_the_window_counts(canaries: Canaries) -> None:
    send(canaries, 100, 108, "timeout")
    assert canaries.unanswered_since(100, 108)
    assert not canaries.unanswered_since(100.1, 108)


def test_an_error_is_an_answer(canaries: Canaries) -> None:
    send(canaries, 100, 101, "error")
    assert not canaries.unanswered
    assert not canaries.unanswered_since(0, 200)


def test_failures_in_a_row_are_counted_until_one_works(canaries: Canaries) -> None:
    results: tuple[CanaryResult, ...] = ("ok", "timeout", "error", "timeout")
    for number, result in enumerate(results):
        send(canaries, 100 + number, 100.5 + number, result)
    assert canaries.state().failures == 3
    send(canaries, 110, 110.25, "ok")
    state = canaries.state()
    assert (state.failures, state.seconds) == (0, 0.25)
    assert state.totals == {"ok": 2, "timeout": 2, "error": 1, "not_applicable": 0}


def test_totals_survive_a_reset(canaries: Canaries) -> None:
    send(canaries, 100, 101, "ok")
    canaries.reset()
    assert canaries.state().totals["ok"] == 1


def errors(canaries: Canaries, count: int, start: float = 100.0) -> list[float]:
    """The seconds from each error to the next canary, asked once a second."""
    waits, now = [], start
    for _ in range(count):
        send(canaries, now, now, "error")
        finished = now
        while not canaries.due(now, None):
            now += 1
        waits.append(now - finished)
    return waits


def test_errors_are_repeated_ever_more_rarely_until_an_idle_server_is_asked_as_usual(canaries: Canaries) -> None:
    assert errors(canaries, 7) == [0, 0, 2, 4, 8, 10, 10]


def test_a_server_of_errors_is_asked_every_30_seconds_where_canaries_are_rarer_than_that() -> None:
    assert errors(Canaries(ProbeConfig(canary_interval=120)), 8) == [0, 0, 2, 4, 8, 16, 30, 30]


def test_a_server_of_errors_is_never_asked_less_often_than_an_idle_one() -> None:
    assert errors(Canaries(ProbeConfig(canary_interval=3)), 6) == [0, 0, 2, 3, 3, 3]


def test_a_success_or_a_new_life_ends_the_waiting(canaries: Canaries) -> None:
    errors(canaries, 7)
    send(canaries, 200, 200, "ok")
    assert errors(canaries, 3, 210) == [0, 0, 2]
    errors(canaries, 7, 300)
    canaries.reset()
    assert canaries.due(400, None)
    assert errors(canaries, 3, 400) == [0, 0, 2]


def test_time_outs_are_never_waited_after_and_end_a_row_of_errors(canaries: Canaries) -> None:
    errors(canaries, 7)
    send(canaries, 200, 208, "timeout")
    assert canaries.due(208, None)
    assert errors(canaries, 3, 210) == [0, 0, 2]


def test_a_server_refuses_canaries_by_its_last_answer(canaries: Canaries) -> None:
    assert not canaries.refused
    send(canaries, 100, 101, "not_applicable")
    assert canaries.refused
    send(canaries, 161, 162, "ok")
    assert not canaries.refused
