"""What counts as movement, and what as a restart."""

from __future__ import annotations

from dataclasses import replace

from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.engine import Blocks, BlockTraffic, EngineAges, count_blocks, moved, restarted

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


def test_a_share_of_the_usable_blocks_becomes_a_whole_number() -> None:
    """Of a real answer: 0.019655719692345253 is 161 of 8191, since V1 never uses block 0."""
    assert count_blocks(8192, 0.019655719692345253, 1) == Blocks(8192, 161, 8030)
    assert count_blocks(8192, 1.0, 1) == Blocks(8192, 8191, 0)
    assert count_blocks(100, 0.25, 0) == Blocks(100, 25, 75)


def test_a_cache_without_blocks_is_empty() -> None:
    assert count_blocks(0, 0.5, 1) == Blocks(0, 0, 0)


def test_one_engine_that_stands_still_beside_another_is_seen() -> None:
    ages = EngineAges()
    for second in range(41):
        ages.saw(1000.0 + second, {"0": EngineValues(2, 0, iterations=second), "1": EngineValues(3, 0, iterations=7)})
    assert ages.ages() == {"0": 0.0, "1": 40.0}


def test_an_idle_engine_has_no_age_and_its_clock_starts_with_work() -> None:
    ages = EngineAges()
    ages.saw(1000.0, {"0": EngineValues(0, 0)})
    ages.saw(1500.0, {"0": EngineValues(0, 0)})
    assert ages.ages() == {"0": 0.0}
    ages.saw(1501.0, {"0": EngineValues(1, 0)})
    ages.saw(1511.0, {"0": EngineValues(1, 0)})
    assert ages.ages() == {"0": 10.0}


def test_time_that_was_no_fault_of_theirs_is_forgiven() -> None:
    ages = EngineAges()
    ages.saw(1000.0, {"0": EngineValues(1, 0)})
    ages.saw(1100.0, {"0": EngineValues(1, 0)})
    ages.forgive(1100.0)
    assert ages.ages() == {"0": 0.0}


def test_blocks_taken_and_given_back_are_counted_for_each_engine() -> None:
    traffic = BlockTraffic()
    for first, second in ((5, 0), (9, 0), (2, 4)):
        traffic.saw({"0": Blocks(100, first, 99 - first), "1": Blocks(100, second, 99 - second)})
    assert (traffic.allocated, traffic.released) == ({"0": 4, "1": 4}, {"0": 7, "1": 0})


def test_engines_that_a_server_names_anew_each_time_are_forgotten() -> None:
    traffic = BlockTraffic()
    for look in range(100):
        traffic.saw({str(number): Blocks(10, look % 10, 0) for number in range(256 * look, 256 * (look + 1))})
    assert len(traffic.allocated) <= 512
    assert len(traffic.released) <= 512
