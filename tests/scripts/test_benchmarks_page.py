"""The page of benchmarks, from the figures that they wrote."""

from __future__ import annotations

from datetime import date

from scripts.benchmarks_page import page, row

STALL = {
    "value": 57.31,
    "unit": "s",
    "goal": 60.0,
    "baseline": 120.0,
    "baseline_name": "supervisord alone, not back after 120 s",
    "ok": True,
    "repetitions": 5,
    "median": 54.0,
    "best": 49.5,
}


def test_a_figure_is_a_row_with_its_goal_and_its_baseline() -> None:
    assert row("stall_idle_to_action_seconds", STALL) == (
        "| `stall_idle_to_action_seconds` | 57.31 s | 54 | 49.5 | 5 | 60 s: met "
        "| supervisord alone, not back after 120 s: 120 s |\n"
    )


def test_a_missed_goal_is_said() -> None:
    assert "60 s: **missed**" in row("stall", {**STALL, "value": 63.3, "ok": False})


def test_a_figure_without_goal_and_baseline_has_empty_cells() -> None:
    bare = {"value": 14.1, "unit": "s", "goal": None, "baseline": None, "baseline_name": "", "ok": True}
    assert row("to_alert", bare) == "| `to_alert` | 14.1 s |  |  |  |  |  |\n"


def test_the_page_says_when_and_on_what_it_was_measured() -> None:
    text = page([("loop", date(2026, 11, 21), {"stall": STALL})], "2 cores (EPYC)")
    assert "Measured on 2 cores (EPYC)." in text
    assert "## loop\n\nHow long the loop takes on a real vLLM" in text
    assert "Measured on 2026-11-21." in text
