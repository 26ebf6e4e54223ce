from __future__ import annotations

from scripts.pytest_total import total

PASSED = "collected 9 items\n\n===== 500 passed, 2 skipped, 40 deselected in 12.50s =====\n"


def test_adds_up_what_several_runs_say() -> None:
    failed = (
        "=== short test summary info ===\n"
        "=========== 1 failed, 11 passed, 1 skipped, 2 warnings in 75.25s (0:01:15) ===========\n"
    )
    assert total([PASSED, failed]) == "=== 1 failed, 511 passed, 3 skipped, 2 warnings in 87.75s ==="


def test_takes_the_last_line_of_each_run() -> None:
    assert total(["== 1 failed in 1.00s ==\n" + PASSED + "make: done\n"]) == "=== 500 passed, 2 skipped in 12.50s ==="


def test_errors_of_collection_are_counted() -> None:
    assert total(["=========== 2 errors in 0.31s ===========\n"]) == "=== 2 errors in 0.31s ==="


def test_a_run_that_came_to_no_end_adds_nothing() -> None:
    assert total(["make: *** [Makefile:28: test] Error 1\n"]) == "=== no tests ran in 0.00s ==="
