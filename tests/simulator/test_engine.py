"""The engine's model: queues, chunks, prefixes, preemption, times. No clock, no chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.simulator.engine.core import Engine
from deploy.simulator.engine.model import EngineOptions, Request, StepResult

OPTIONS = EngineOptions(
    max_num_seqs=4, max_num_batched_tokens=100, num_gpu_blocks=101, block_size=10, max_model_len=500,
    step_base=1.0, step_per_token=0.01, step_jitter=0.0,
)  # fmt: skip


def request(id_: str = "a", prompt: int = 50, output: int = 3, hashes: tuple[int, ...] = ()) -> Request:
    return Request(id_, 0.0, prompt, output, output, hashes)


def steps(engine: Engine, count: int, start: float = 0.0) -> list[StepResult]:
    """One after the other without a pause."""
    found: list[StepResult] = []
    for _ in range(count):
        found.append(engine.step(found[-1].time if found else start))
    return found


def test_a_step_takes_a_base_and_so_much_a_token() -> None:
    engine = Engine(OPTIONS)
    engine.add(request(prompt=50))
    first, second = steps(engine, 2)
    assert first.time == pytest.approx(1.5)
    assert second.time - first.time == pytest.approx(1.01)


def test_times_of_a_request_are_those_of_its_steps() -> None:
    engine = Engine(OPTIONS)
    engine.add(request(prompt=50, output=3))
    results = steps(engine, 3, start=2.0)
    assert results[0].first_tokens == [pytest.approx(3.5)]
    assert results[1].gaps == [pytest.approx(1.01)]
    (finished,) = results[2].finished
    assert finished.queued == pytest.approx(2.0)
    assert finished.prefill == pytest.approx(1.5)
    assert finished.decode == pytest.approx(2.02)
    assert finished.e2e == pytest.approx(5.52)
    assert finished.per_output_token == pytest.approx(1.01)
    assert not engine.has_work


def test_a_prompt_longer_than_a_step_takes_several_and_only_the_last_has_output() -> None:
    engine = Engine(OPTIONS)
    engine.add(request(prompt=250))
    results = steps(engine, 3)
    assert [result.has_output for result in results] == [False, False, True]
    assert [round(result.gauges.kv_usage, 3) for result in results] == [0.1, 0.2, 0.25]


def test_without_chunks_a_prompt_waits_for_a_step_of_its_own() -> None:
    engine = Engine(replace(OPTIONS, enable_chunked_prefill=False))
    engine.add(request("a", prompt=60))
    engine.add(request("b", prompt=60))
    first, second = steps(engine, 2)
    assert (first.gauges.running, first.gauges.waiting) == (1, 1)
    assert second.new_tokens == ["a", "b"]


def test_no_more_requests_run_than_there_are_seats() -> None:
    engine = Engine(OPTIONS)
    for number in range(6):
        engine.add(request(str(number), prompt=10))
    (result,) = steps(engine, 1)
    assert (result.gauges.running, result.gauges.waiting) == (4, 2)


def test_a_known_prefix_is_not_computed_again() -> None:
    engine = Engine(OPTIONS)
    engine.add(request("a", prompt=45, output=1, hashes=(1, 2, 3, 4)))
    (first,) = steps(engine, 1)
    engine.add(request("b", prompt=45, output=1, hashes=(1, 2, 9, 8)))
    (second,) = steps(engine, 1, start=first.time)
    assert (second.prefix_queries, second.prefix_hits) == (45, 20)
    assert (second.computed_prompt_tokens, second.cached_prompt_tokens) == (25, 20)


def test_a_prompt_known_as_a_whole_still_computes_its_last_block() -> None:
    engine = Engine(OPTIONS)
    for id_ in ("a", "b"):
        engine.add(request(id_, prompt=40, output=1, hashes=(1, 2, 3, 4)))
        (result,) = steps(engine, 1)
    assert result.prefix_hits == 30


def test_the_last_request_gives_its_blocks_up_when_they_run_out() -> None:
    engine = Engine(replace(OPTIONS, num_gpu_blocks=11))
    engine.add(request("a", prompt=50, output=30))
    engine.add(request("b", prompt=50, output=30))
    first, second = steps(engine, 2)
    assert first.gauges.running == 2
    assert (second.preemptions, second.new_tokens) == (1, ["a"])
    assert (second.gauges.running, second.gauges.waiting) == (1, 1)


def test_a_preempted_request_finishes_with_all_of_its_tokens() -> None:
    engine = Engine(replace(OPTIONS, num_gpu_blocks=11))
    engine.add(request("a", prompt=50, output=20))
    engine.add(request("b", prompt=50, output=20))
    results = steps(engine, 60)
    finished = {one.id: one for result in results for one in result.finished}
    assert (finished["b"].generation_tokens, finished["b"].preemptions) == (20, 1)
    assert sum(len(result.new_tokens) for result in results) == 40
    assert engine.scheduler.pool.usage == 0.0


def test_the_end_is_length_when_as_many_were_asked_for_and_else_stop() -> None:
    assert replace(request(), output_tokens=9, max_tokens=9).reason == "length"
    assert replace(request(), output_tokens=5, max_tokens=9).reason == "stop"


def test_an_aborted_request_leaves_nothing_behind() -> None:
    engine = Engine(OPTIONS)
    engine.add(request("a", output=100))
    steps(engine, 2)
    assert engine.abort(["a", "unknown"]) == ["a"]
    assert not engine.has_work
    assert engine.scheduler.pool.usage == 0.0


def test_what_comes_while_paused_is_not_counted_as_waiting() -> None:
    engine = Engine(OPTIONS)
    engine.pause()
    engine.add(request())
    assert (engine.gauges.waiting, engine.has_work) == (0, False)
    engine.resume()
    assert engine.gauges.waiting == 1


def test_leaked_blocks_are_never_free_again_until_restored() -> None:
    engine = Engine(OPTIONS)
    engine.leak = 0.5
    engine.add(request(prompt=100, output=1))
    steps(engine, 1)
    assert engine.gauges.kv_usage == pytest.approx(0.05)
    engine.restore()
    assert engine.gauges.kv_usage == 0.0


def test_the_same_seed_gives_the_same_times() -> None:
    def times(seed: int) -> list[float]:
        engine = Engine(replace(OPTIONS, step_jitter=0.1, seed=seed))
        engine.add(request(output=5))
        return [result.time for result in steps(engine, 5)]

    assert times(1) == times(1)
    assert times(1) != times(2)
