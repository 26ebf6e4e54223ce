"""What counts as movement, and what as a restart."""

from __future__ import annotations

from dataclasses import replace

from vllm_exporter.engine import EngineValues, moved, restarted

VALUES = EngineValues(
    running=2,
    waiting=1,
    kv_usage=0.5,
    iterations=100,
    preemptions=0,
    prefix_queries=900,
    prompt_tokens=800,
    generation_tokens=700,
)


def test_every_value_that_changes_is_movement() -> None:
    for name in ("running", "waiting", "kv_usage", "iterations", "preemptions", "prefix_queries", "prompt_tokens"):
        assert moved(VALUES, replace(VALUES, **{name: getattr(VALUES, name) + 1})), name
        assert moved(VALUES, replace(VALUES, **{name: getattr(VALUES, name) - 1})), name


def test_nothing_that_changes_is_no_movement() -> None:
    assert not moved(VALUES, replace(VALUES))


def test_a_value_that_only_one_reading_has_is_no_movement() -> None:
    assert not moved(VALUES, replace(VALUES, iterations=None))
    assert not moved(replace(VALUES, iterations=None), VALUES)


def test_a_change_of_the_sleep_state_is_no_movement() -> None:
    assert not moved(replace(VALUES, awake=True), replace(VALUES, awake=False))


def test_a_counter_that_went_backwards_is_a_restart_and_a_gauge_is_not() -> None:
    assert restarted(VALUES, replace(VALUES, prompt_tokens=0))
    assert not restarted(VALUES, replace(VALUES, running=0, waiting=0, kv_usage=0))


def test_running_waiting_and_swapped_requests_are_work() -> None:
    assert EngineValues(running=1, waiting=0).work
    assert EngineValues(running=0, waiting=1).work
    assert EngineValues(running=0, waiting=0, swapped=1).work
    assert not EngineValues(running=0, waiting=0, kv_usage=0.9).work
