from __future__ import annotations

from scripts.pytest_total import total

PASSED = "collected 9 items\n\n===== 500 passed, 2 skipped, 40 deselected in 12.50s =====\n"
FAILED = (
    "=== short test summary info ===\n"
    "=========== 1 failed, 11 passed, 1 skipped, 2 warnings in 75.25s (0:01:15) ===========\n"
)


def test_adds_up_what_several_runs_say() -> None:
    logs = {"make-test.log": PASSED, "make-test-alerts.log": FAILED}
    assert total(logs) == "=== 1 failed, 511 passed, 3 skipped, 2 warnings in 87.75s ==="


def test_takes_the_last_line_of_each_run() -> None:
    log = "== 1 failed in 1.00s ==\n" + PASSED + "make: done\n"
    assert total({"make-test.log": log}) == "=== 500 passed, 2 skipped in 12.50s ==="


def test_errors_of_collection_are_counted() -> None:
    assert total({"make-test.log": "=========== 2 errors in 0.31s ===========\n"}) == "=== 2 errors in 0.31s ==="


def test_a_run_that_came_to_no_end_adds_nothing() -> None:
    log = "make: *** [Makefile:28: test] Error 1\n"
    assert total({"make-test.log": log}) == "=== no tests ran in 0.00s ==="


def test_a_failure_that_passed_at_the_second_attempt_is_counted_once() -> None:
    again = "======= 1 passed, 12 deselected in 4.00s =======\n"
    logs = {"make-test-alerts.again.log": again, "make-test-alerts.log": FAILED}
    assert total(logs) == "=== 12 passed, 1 skipped, 2 warnings in 79.25s ==="


def test_a_failure_that_failed_again_is_counted_once() -> None:
    again = "======= 1 failed, 12 deselected in 4.00s =======\n"
    logs = {"make-test-alerts.again.log": again, "make-test-alerts.log": FAILED}
    assert total(logs) == "=== 1 failed, 11 passed, 1 skipped, 2 warnings in 79.25s ==="


def test_a_second_attempt_without_an_end_leaves_the_failures_as_they_are() -> None:
    again = "make: *** [Makefile:28: test-alerts] Error 1\n"
    logs = {"make-test-alerts.again.log": again, "make-test-alerts.log": FAILED}
    assert total(logs) == "=== 1 failed, 11 passed, 1 skipped, 2 warnings in 75.25s ==="
