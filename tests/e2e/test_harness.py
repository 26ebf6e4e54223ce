"""The parts of the harness that need no vLLM."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness.figures import Baseline, figures, table
from tests.e2e.harness.journal_reader import JournalFile
from tests.e2e.harness.paired import Interval, interval, more_percent, quantile
from tests.e2e.harness.processes import Stat, end_session, in_session, parse_stat
from tests.e2e.harness.timeline import Timeline
from tests.e2e.harness.vllm_server import find_script, parse_values
from tests.e2e.harness.waiting import TimedOutError, until

# Fault at 100 s, actuator called at 130, process spawned at 131, healthy at 161, verified at 163.
HEALED = Timeline("stall_idle", 100.0, {"VllmEngineStalled": 128.5}, 129.0, 130.0, 131.0, 161.0, 163.0)
UNTOUCHED = Timeline("overload", 100.0, {"VllmQueueOverload": 140.0})


def test_counts_the_fields_of_stat_behind_a_name_with_spaces_and_parentheses() -> None:
    text = "4711 (VLLM::Worker (x)) S 4700 4690 4680 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 112718 123456 789"
    assert parse_stat(4711, text) == Stat(pid=4711, state="S", parent=4700, session=4680, start_ticks=112718)


def test_sums_a_family_over_its_label_sets_and_leaves_others_out() -> None:
    exposition = (
        "# TYPE vllm:num_requests_running gauge\n"
        'vllm:num_requests_running{engine="0"} 2.0\n'
        'vllm:num_requests_running{engine="1"} 3.0\n'
        "vllm:num_requests_running_total 9\n"
        "process_cpu_seconds_total 7.5\n"
    )
    assert parse_values(exposition, ("vllm:num_requests_running",)) == {"vllm:num_requests_running": 5.0}


def test_takes_the_servers_own_start_off_the_overhead() -> None:
    assert (HEALED.to_alert, HEALED.to_start, HEALED.to_verified) == (28.5, 30.0, 63.0)
    assert (HEALED.own_start, HEALED.overhead) == (30.0, 3.0)


def test_has_no_figures_for_what_did_not_happen() -> None:
    assert (UNTOUCHED.to_start, UNTOUCHED.to_verified, UNTOUCHED.overhead) == (None, None, None)
    assert UNTOUCHED.words() == "overload: alerts: VllmQueueOverload 40.0 s; nothing was done"


def test_compares_the_worst_run_with_the_goal_and_the_baseline() -> None:
    worse = Timeline("stall_idle", 100.0, {"VllmEngineStalled": 158.0}, 160.0, 161.0, 162.0, 192.0, 200.0)
    found = {figure.name: figure for figure in figures({"stall_idle": ([HEALED, worse], Baseline(120.0, False))})}
    assert found["stall_idle_to_action_seconds"].as_json() == {
        "value": 61.0,
        "unit": "s",
        "goal": 60.0,
        "baseline": 120.0,
        "baseline_name": "supervisord alone, not back after 120 s",
        "ok": False,
        "repetitions": 2,
        "median": 45.5,
        "best": 30.0,
    }
    assert found["stall_idle_overhead_seconds"].ok
    assert found["stall_idle_to_verified_seconds"].baseline_name == "supervisord alone, not back after 120 s"


def test_counts_the_restarts_of_a_server_that_needed_none() -> None:
    restarted = Timeline("overload", 100.0, {}, 129.0, 130.0, 131.0, 161.0, 163.0)
    assert [figure.ok for figure in figures({"overload": ([UNTOUCHED], None)})] == [True]
    assert [figure.ok for figure in figures({"overload": ([UNTOUCHED, restarted], None)})] == [False]


def test_prints_a_row_a_run_with_dashes_for_what_did_not_happen() -> None:
    assert table([HEALED, UNTOUCHED]).splitlines()[1:] == [
        "stall_idle                      28.5    30.0      63.0       30.0       3.0",
        "overload                        40.0       -         -          -         -",
    ]


def test_reads_an_empty_journal_before_the_healer_has_made_one(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal.sqlite")
    assert (journal.actions(0), journal.sentences(0), journal.healed(0), journal.open_incidents()) == ([], [], None, 0)
    assert not journal.remembers(1)


def test_ends_a_process_that_outlived_its_parent_by_its_session() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 300 & exit 0"], start_new_session=True)
    shell.wait(timeout=10)
    assert len(in_session(shell.pid)) == 1
    end_session(shell.pid)
    assert in_session(shell.pid) == []


def test_gives_up_waiting_and_names_what_did_not_come() -> None:
    with pytest.raises(TimedOutError, match="waited 0 s for the tide"):
        until("the tide", lambda: None, seconds=0)


def test_finds_no_script_where_the_variable_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_MONITOR_REAL_VLLM", "/nonexistent/real-vllm")
    assert find_script() is None


def test_a_medians_interval_is_that_of_the_sign_test() -> None:
    """Ranks 2 and 9 of 10, 6 and 15 of 20: tables of the sign test at 95 %."""
    assert interval([float(number) for number in range(10, 0, -1)]) == Interval(2.0, 5.5, 9.0)
    assert interval([float(number) for number in range(1, 21)]) == Interval(6.0, 10.5, 15.0)


def test_the_interval_of_too_few_values_is_all_of_them() -> None:
    assert interval([3.0, 1.0, 2.0]) == Interval(1.0, 2.0, 3.0)


def test_differences_are_taken_turn_by_turn() -> None:
    assert more_percent([110.0, 45.0], [100.0, 50.0]) == pytest.approx([10.0, -10.0])
    with pytest.raises(ValueError, match="argument 2"):
        more_percent([1.0], [1.0, 2.0])


def test_a_quantile_is_a_value_that_was_there() -> None:
    assert quantile([float(number) for number in range(1, 101)], 0.99) == 99.0
    assert quantile([5.0], 0.999) == 5.0
