"""Counting classes, and telling them."""

from __future__ import annotations

from vllm_exporter.subjects.logs.class_counts import ClassCounts, EventThrottle
from vllm_exporter.subjects.logs.table import LogClass

FATAL = LogClass("engine.fatal", "critical", "critical", False)
STATS = LogClass("stats.line", "info", "info", False)


def test_serious_classes_stand_at_0_before_their_first_line() -> None:
    assert ClassCounts(["a:1", "b:1"], [FATAL, STATS]).counts == {
        ("a:1", "engine.fatal", "critical"): 0,
        ("b:1", "engine.fatal", "critical"): 0,
    }


def test_counts_by_severity_and_keeps_the_newest_time() -> None:
    ledger = ClassCounts(["a:1"], [FATAL])
    ledger.add("a:1", "engine.fatal", "critical", 200.0)
    ledger.add("a:1", "engine.fatal", "critical", 100.0)
    ledger.add("a:1", "engine.fatal", "info", 150.0)
    assert ledger.counts == {("a:1", "engine.fatal", "critical"): 2, ("a:1", "engine.fatal", "info"): 1}
    assert ledger.last == {("a:1", "engine.fatal"): 200.0}


def test_tells_a_class_once_a_minute_with_what_came_in_between() -> None:
    notices = EventThrottle()
    assert [notices.due("a:1", "engine.dead_client", at) for at in (0.0, 1.0, 59.0, 60.0, 61.0)] == [
        0,
        None,
        None,
        2,
        None,
    ]
    assert notices.due("b:1", "engine.dead_client", 1.0) == 0


def test_tells_a_state_when_it_is_new_for_the_process() -> None:
    notices = EventThrottle()
    assert notices.new_state("a:1", b"Worker_TP0", 7, "weights_loading")
    assert not notices.new_state("a:1", b"Worker_TP0", 7, "weights_loading")
    assert notices.new_state("a:1", b"Worker_TP1", 8, "weights_loading")
    assert notices.new_state("a:1", b"Worker_TP0", 7, "weights_loaded")


def test_tells_a_state_again_when_the_server_was_started_again() -> None:
    notices = EventThrottle()
    assert notices.new_state("a:1", b"APIServer", 7, "args_parsed")
    assert notices.new_state("a:1", b"APIServer", 9, "args_parsed")
