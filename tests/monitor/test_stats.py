"""The same counts from what each release reports."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.monitor import eras
from vllm_monitor.series import Series
from vllm_monitor.stats import StepCounter


def counts(series: Series) -> dict[str, list[float]]:
    """The values by the words that describe them."""
    found, at = {}, 0
    for line in series.directory().splitlines():
        kind, name, bounds, *labels = line.split("\t")
        width = len(bounds.split(",")) + 2 if kind == "histogram" else 1
        found[" ".join([name, *labels])] = list(series.values[at : at + width])
        at += width
    return found


@pytest.mark.parametrize("era", eras.ERAS)
def test_each_release_gives_the_same_counts(era: str) -> None:
    series = Series()
    StepCounter(series).count(12.5, eras.scheduler(era), eras.iteration(era), 0)
    found = counts(series)
    assert found["vllm_engine_steps_total engine=0"] == [1]
    assert found["vllm_engine_step_age_seconds engine=0"] == [12.5]
    assert found["vllm_engine_busy_step_age_seconds engine=0"] == [12.5]
    assert found["vllm_tokens_generated_total"] == [3]
    assert found["vllm_requests_total status=success"] == [1]
    assert found["vllm_preemptions_total"] == [1]
    assert found["vllm_prefix_cache_tokens_total result=hit"] == [60]
    assert found["vllm_spec_decode_tokens_total kind=accepted"] == [7]
    assert found["vllm_request_latency_seconds"][-1] == 1.5
    assert found["vllm_request_queue_seconds"][-1] == 0.2
    assert found["vllm_request_prefill_seconds"][-1] == 0.05
    assert found["vllm_request_decode_seconds"][-1] == 1.2
    assert found["vllm_time_to_first_token_seconds"][-1] == 0.02
    assert found["vllm_inter_token_seconds"][-1] == pytest.approx(0.01)
    assert found["vllm_engine_batch_requests"][-1] == 3
    assert found["vllm_engine_batch_tokens"][-1] == 103


STEP, BUSY_STEP = "vllm_engine_step_age_seconds engine=1", "vllm_engine_busy_step_age_seconds engine=1"


def test_a_step_that_leaves_requests_is_also_the_last_busy_one() -> None:
    series = Series()
    counter = StepCounter(series)
    counter.count(1.0, SimpleNamespace(num_running_reqs=2, num_waiting_reqs=0), None, 1)
    counter.count(2.0, SimpleNamespace(num_running_reqs=0, num_waiting_reqs=0, num_skipped_waiting_reqs=1), None, 1)
    assert (counts(series)[STEP], counts(series)[BUSY_STEP]) == ([2.0], [2.0])
    counter.count(3.0, SimpleNamespace(num_running_reqs=0, num_waiting_reqs=0), None, 1)
    assert (counts(series)[STEP], counts(series)[BUSY_STEP]) == ([3.0], [2.0])


def test_a_release_that_counts_no_waiting_requests_is_busy_by_those_that_run() -> None:
    series = Series()
    StepCounter(series).count(1.0, SimpleNamespace(num_running_reqs=2), None, 1)
    assert counts(series)[BUSY_STEP] == [1.0]


def steps(counter: StepCounter, *ends: tuple[float, int]) -> None:
    """Each step's end, and the requests that it left."""
    for at, running in ends:
        counter.count(at, SimpleNamespace(num_running_reqs=running), None, 1)


def test_a_step_takes_from_the_end_of_the_one_before_that_left_requests() -> None:
    series = Series()
    steps(StepCounter(series), (10.0, 1), (10.5, 1), (12.0, 0), (60.0, 1), (61.0, 0))
    assert sum(counts(series)["vllm_engine_step_seconds engine=1"][:-1]) == 3
    assert counts(series)["vllm_engine_step_seconds engine=1"][-1] == 3.0  # 0.5, 1.5 and 1.0; not the idle 48 s


def test_with_several_api_servers_nobody_knows_how_long_a_step_took() -> None:
    series = Series()
    steps(StepCounter(series, sees_each_step=False), (10.0, 1), (10.5, 1))
    assert "vllm_engine_step_seconds engine=1" not in counts(series)


def test_adapters_are_counted_by_state() -> None:
    series = Series()
    StepCounter(series).count(1.0, eras.scheduler("0.32.0"), None, 0)
    found = counts(series)
    assert found["vllm_lora_requests adapter=sql state=running"] == [2]
    assert found["vllm_lora_requests adapter=chat state=waiting"] == [1]


def test_an_adapter_without_requests_goes_back_to_none() -> None:
    series = Series()
    counter = StepCounter(series)
    stats = eras.scheduler("0.32.0")
    counter.count(1.0, stats, None, 0)
    stats.running_lora_adapters = {}
    counter.count(2.0, stats, None, 0)
    assert counts(series)["vllm_lora_requests adapter=sql state=running"] == [0]


def test_an_adapter_that_two_engines_run_has_the_sum_of_both() -> None:
    series = Series()
    counter = StepCounter(series)
    stats = eras.scheduler("0.32.0")
    for engine in (0, 1, 0):
        counter.count(1.0, stats, None, engine)
    assert counts(series)["vllm_lora_requests adapter=sql state=running"] == [4]


def test_requests_that_the_middleware_counts_are_not_counted_twice() -> None:
    series = Series()
    counter = StepCounter(series)
    counter.requests_are_counted = True
    counter.count(1.0, eras.scheduler("0.32.0"), eras.iteration("0.32.0"), 0)
    found = counts(series)
    assert "vllm_requests_total status=success" not in found
    assert "vllm_time_to_first_token_seconds" not in found
    assert found["vllm_request_queue_seconds"][-1] == 0.2


@pytest.mark.parametrize(
    ("reason", "status"), [("length", "success"), ("abort", "aborted"), ("error", "error"), ("new", "other")]
)
def test_a_request_counts_by_how_it_ended(reason: str, status: str) -> None:
    series = Series()
    stats = eras.iteration("0.32.0")
    stats.finished_requests[0].finish_reason = eras.Reason(reason)
    StepCounter(series).count(1.0, None, stats, 0)
    assert counts(series)[f"vllm_requests_total status={status}"] == [1]


def test_each_engine_has_its_own_steps() -> None:
    series = Series()
    counter = StepCounter(series)
    for engine, at in ((0, 1.0), (1, 2.0), (0, 3.0)):
        counter.count(at, eras.scheduler("0.32.0"), None, engine)
    found = counts(series)
    assert found["vllm_engine_step_age_seconds engine=0"] == [3.0]
    assert found["vllm_engine_step_age_seconds engine=1"] == [2.0]


def test_a_step_without_output_counts_as_a_step_only() -> None:
    series = Series()
    StepCounter(series).count(1.0, eras.scheduler("0.32.0"), None, 0)
    assert counts(series)["vllm_engine_steps_total engine=0"] == [1]
    assert "vllm_tokens_generated_total" not in counts(series)
