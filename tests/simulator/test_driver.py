"""The engine in time, and how it fails. The clock is a number."""

from __future__ import annotations

import pytest

from deploy.simulator.engine.driver import Abort, Add, Call, Driver, Output, Reply, Tune
from deploy.simulator.engine.model import EngineOptions, Request

OPTIONS = EngineOptions(step_base=1.0, step_per_token=0.0, step_jitter=0.0)


def request(id_: str = "a", output: int = 3, arrival: float = 0.0, poison: bool = False) -> Request:
    return Request(id_, arrival, 10, output, output, poison=poison)


def driver() -> Driver:
    return Driver(OPTIONS)


def tokens(output: Output) -> int:
    return sum(len(result.new_tokens) for result in output.results)


def test_an_idle_engine_says_nothing_and_wants_no_waking() -> None:
    idle = driver()
    assert not idle.advance(5.0)
    assert idle.wake_at is None


def test_a_step_is_delivered_when_it_ends_and_not_before() -> None:
    one = driver()
    one.handle(Add(request()), 10.0)
    assert not one.advance(10.0)
    assert one.wake_at == pytest.approx(11.0)
    assert not one.advance(10.9)
    assert tokens(one.advance(11.0)) == 1


def test_several_steps_pass_in_one_look() -> None:
    one = Driver(OPTIONS, slack=10.0)
    one.handle(Add(request(output=3)), 0.0)
    one.advance(0.0)
    assert tokens(one.advance(3.0)) == 3


def test_time_while_the_process_was_stopped_is_lost_not_caught_up() -> None:
    one = driver()
    one.handle(Add(request(output=100)), 0.0)
    one.advance(0.0)
    assert tokens(one.advance(60.0)) == 1
    assert one.wake_at == pytest.approx(60.95)


def test_hangs_under_load_with_requests_running() -> None:
    one = driver()
    one.handle(Tune(hang="loaded"), 0.0)
    assert one.frozen is False
    one.handle(Add(request()), 0.0)
    one.advance(0.0)
    output = one.advance(1.0)
    assert output.results[-1].gauges.running == 1
    assert one.frozen
    assert not one.advance(100.0)


def test_hangs_idle_at_once_when_nothing_runs() -> None:
    one = driver()
    one.handle(Tune(hang="idle"), 0.0)
    one.handle(Add(request()), 1.0)
    assert one.frozen
    assert not one.advance(100.0)


def test_hangs_idle_only_after_what_runs_has_finished() -> None:
    one = Driver(OPTIONS, slack=10.0)
    one.handle(Add(request(output=2)), 0.0)
    one.advance(0.0)
    one.handle(Tune(hang="idle"), 0.0)
    one.handle(Add(request("b")), 0.5)
    output = one.advance(9.0)
    assert [finished.id for result in output.results for finished in result.finished] == ["a"]
    assert (output.results[-1].gauges.running, output.results[-1].gauges.waiting) == (0, 0)
    assert one.frozen


def test_a_hung_engine_answers_nothing_and_goes_on_when_mended() -> None:
    one = driver()
    one.handle(Tune(hang="idle"), 0.0)
    one.handle(Call(1, "is_paused"), 1.0)
    one.handle(Add(request(output=1, arrival=1.0)), 1.0)
    assert not one.advance(50.0)
    one.handle(Tune(), 50.0)
    assert one.advance(50.0).replies == [Reply(1, False)]
    assert tokens(one.advance(51.0)) == 1


def test_a_poison_request_kills_only_an_engine_that_has_that_failure() -> None:
    well, ill = driver(), driver()
    ill.handle(Tune(poison=True), 0.0)
    for one in (well, ill):
        one.handle(Add(request(poison=True)), 0.0)
    assert well.advance(0.0).death is None
    assert ill.advance(0.0).death == "poison"


def test_silent_prefill_moves_only_the_kv_usage() -> None:
    one = Driver(OPTIONS, slack=10.0)
    one.handle(Tune(token_budget=64, fixed_step=7.0), 0.0)
    one.handle(Add(Request("long", 0.0, 640, 1, 1)), 0.0)
    one.advance(0.0)
    results = [result for now in range(7, 63, 7) for result in one.advance(float(now)).results]
    usage = [result.gauges.kv_usage for result in results]
    assert len(results) == 8
    assert not any(result.has_output for result in results)
    assert usage == sorted(set(usage))


def test_pause_abort_finishes_what_runs_and_holds_what_comes() -> None:
    one = driver()
    one.handle(Add(request(output=9)), 0.0)
    one.advance(0.0)
    one.advance(1.0)
    one.handle(Call(1, "pause", "abort"), 1.5)
    output = one.advance(1.5)
    assert [finished.reason for result in output.results for finished in result.finished] == ["abort"]
    one.handle(Add(request("b", output=1, arrival=2.0)), 2.0)
    assert not one.advance(50.0)
    one.handle(Call(2, "resume"), 50.0)
    one.advance(50.0)
    assert tokens(one.advance(51.0)) == 1


def test_pause_wait_answers_when_all_are_done() -> None:
    one = Driver(OPTIONS, slack=10.0)
    one.handle(Add(request(output=2)), 0.0)
    one.advance(0.0)
    one.handle(Call(1, "pause", "wait"), 0.5)
    assert not one.advance(1.0).replies
    assert one.advance(2.0).replies == [Reply(1, None)]
    assert one.engine.paused


def test_pause_keep_goes_on_where_it_stopped() -> None:
    one = driver()
    one.handle(Add(request(output=2)), 0.0)
    one.advance(0.0)
    one.handle(Call(1, "pause", "keep"), 0.5)
    one.advance(5.0)
    assert one.engine.gauges.running == 1
    one.handle(Call(2, "resume"), 20.0)
    one.advance(20.0)
    assert tokens(one.advance(21.0)) == 1


def test_an_aborted_request_is_over_before_its_next_token() -> None:
    one = driver()
    one.handle(Add(request(output=100)), 0.0)
    one.advance(0.0)
    one.handle(Abort(("a",)), 0.5)
    output = one.advance(1.0)
    assert [(result.gauges.running, result.has_output) for result in output.results] == [(0, False)]
    assert not one.advance(100.0)
