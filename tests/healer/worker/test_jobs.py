"""Jobs that hang: they are counted and told once, and others run in their place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from tests.patience import PATIENCE, wait_for
from vllm_healer.worker.jobs import LIMIT, Jobs
from vllm_healer.worker.pool import DaemonPool


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """What hanging jobs wait for."""
    event = threading.Event()
    yield event
    event.set()


class Hanging:
    """Jobs that wait for an event, and how many of them have begun."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self.begun = 0

    def __call__(self) -> None:
        self.begun += 1
        self._ended.wait(PATIENCE)

    def seen(self, number: int) -> None:
        """Waits until so many have begun."""
        wait_for(lambda: self.begun == number)


def threads(name: str) -> int:
    return sum(thread.name.startswith(f"{name}_") for thread in threading.enumerate())


def test_a_pool_runs_so_many_jobs_at_a_time_and_the_rest_in_their_turn(ended: threading.Event) -> None:
    pool, hang = DaemonPool(2, "turn", patience=1000.0, spare=5), Hanging(ended)
    for _ in range(3):
        pool.submit(hang)
    hang.seen(2)
    done = pool.submit(lambda: "done")
    assert threads("turn") == 2
    assert not done.done()
    ended.set()
    assert done.result(PATIENCE) == "done"


def test_a_job_that_hangs_has_its_place_taken_by_another(ended: threading.Event) -> None:
    pool, hang = DaemonPool(1, "place", patience=0.0, spare=2), Hanging(ended)
    for number in (1, 2):
        pool.submit(hang)
        hang.seen(number)
    assert pool.submit(lambda: "done").result(PATIENCE) == "done"


def test_only_so_many_that_hang_are_made_up_for_and_the_threads_go_when_they_end(ended: threading.Event) -> None:
    pool, hang = DaemonPool(1, "spare", patience=0.0, spare=2), Hanging(ended)
    for number in (1, 2, 3):
        pool.submit(hang)
        hang.seen(number)
    late = [pool.submit(lambda: "late") for _ in range(5)]
    assert threads("spare") == 3
    ended.set()
    assert [one.result(PATIENCE) for one in late] == ["late"] * 5
    wait_for(lambda: threads("spare") == 1)


def test_an_idle_pool_has_no_threads() -> None:
    DaemonPool(8, "idle", patience=1.0, spare=1)
    assert threads("idle") == 0


def test_a_job_is_overdue_after_all_its_timeouts_and_is_told_once(
    ended: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    now, hang = [100.0], Hanging(ended)
    jobs = Jobs(DaemonPool(2, "overdue", patience=1000.0, spare=0), lambda: now[0], lambda: None)
    jobs.submit("observe gpu1:8000", hang)
    hang.seen(1)
    jobs.submit("observe gpu1:8000", hang)  # one of a name at a time
    now[0] += LIMIT
    assert jobs.overdue() == {}
    now[0] += 1.0
    with caplog.at_level(logging.ERROR):
        assert jobs.overdue() == {"observe gpu1:8000": LIMIT + 1}
        assert jobs.overdue() == {"observe gpu1:8000": LIMIT + 1}
    assert [record.getMessage() for record in caplog.records] == [
        "observe gpu1:8000: has run for 241 s, longer than all its timeouts; see HealerStuck"
    ]
    assert hang.begun == 1
    ended.set()
    wait_for(lambda: jobs.overdue() == {})


def test_an_error_ends_a_job_and_its_age(caplog: pytest.LogCaptureFixture) -> None:
    after: list[str] = []

    def broken() -> None:
        raise KeyError("a defect")

    jobs = Jobs(DaemonPool(1, "error", patience=1000.0, spare=0), lambda: 5.0, lambda: after.append("ended"))
    jobs.submit("incident 1", broken)
    wait_for(lambda: after == ["ended"])
    assert jobs.overdue() == {}
    assert "incident 1: a defect of the healer" in caplog.text
