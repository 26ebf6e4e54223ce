"""When failed requests are told, and how many."""

from __future__ import annotations

from vllm_exporter.subjects.server.failed_requests import GATHER_SECONDS, FailedRequests


def test_what_failed_before_the_first_look_is_not_told() -> None:
    failed = FailedRequests()
    assert [failed.saw(now, 7, 0) for now in range(0, 60)] == [0] * 60


def test_failures_are_gathered_and_told_once() -> None:
    failed = FailedRequests()
    failed.saw(100, 0, 0)
    assert failed.saw(101, 1, 0) == 0
    assert failed.saw(105, 4, 0) == 0
    assert failed.saw(101 + GATHER_SECONDS, 5, 0) == 5
    assert [failed.saw(112 + after, 5, 0) for after in range(30)] == [0] * 30
    assert failed.saw(150, 6, 0) == 0
    assert failed.saw(150 + GATHER_SECONDS, 6, 0) == 1


def test_our_own_canaries_are_not_told() -> None:
    failed = FailedRequests()
    failed.saw(0, 0, 0)
    assert failed.saw(1, 1, 0) == 0  # the server has counted it, and we have not yet
    assert [failed.saw(2 + after, 1, 1) for after in range(30)] == [0] * 30
    assert failed.saw(40, 3, 2) == 0
    assert failed.saw(40 + GATHER_SECONDS, 3, 2) == 1


def test_a_new_process_counts_anew() -> None:
    failed = FailedRequests()
    failed.saw(0, 50, 0)
    assert failed.saw(1, 2, 0) == 0
    assert failed.saw(60, 2, 0) == 0
    assert failed.saw(61, 3, 0) == 0
    assert failed.saw(61 + GATHER_SECONDS, 3, 0) == 1
