"""The page of benchmarks, from the figures that they wrote."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from scripts.benchmarks_page import PAGE, RESULTS, keep, merge, occasion, page, read_results, row

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
    text = page([("loop", merge({}, {"stall": STALL}, date(2026, 11, 21), "2 cores (EPYC)"))])
    assert "## loop\n\nHow long the loop takes on a real vLLM" in text
    assert "Measured on 2026-11-21, 2 cores (EPYC)." in text


def test_what_was_not_measured_now_stays_with_its_own_day() -> None:
    kept = merge({}, {"stall": STALL, "start": STALL}, date(2026, 11, 21), "2 cores (EPYC)")
    both = merge(kept, {"start": {**STALL, "value": 1.5}}, date(2026, 12, 1), "16 cores (Xeon)")
    assert [(name, figure["value"]) for name, figure in both.items()] == [("stall", 57.31), ("start", 1.5)]
    assert occasion(both) == "Measured on 2026-11-21, 2 cores (EPYC); on 2026-12-01, 16 cores (Xeon)."


def test_keeps_in_a_file_and_reads_all_files(tmp_path: Path) -> None:
    keep(tmp_path / "loop.json", {"stall": STALL})
    keep(tmp_path / "loop.json", {"start": STALL})
    [(name, figures)] = read_results(tmp_path)
    assert (name, list(figures)) == ("loop", ["stall", "start"])


def test_the_committed_page_is_what_the_committed_results_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_results(RESULTS))
