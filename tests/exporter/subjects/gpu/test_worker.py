from __future__ import annotations

import threading

import pytest

from tests.exporter.fakes import FakeClock
from tests.patience import wait_for
from vllm_exporter.subjects.gpu.worker import Worker


def test_a_job_that_is_done_in_time_is_waited_for() -> None:
    done: list[str] = []
    worker = Worker("test", FakeClock())
    assert worker.run(lambda: done.append("a"), 5.0)
    assert worker.run(lambda: done.append("b"), 5.0)
    assert done == ["a", "b"]
    assert worker.stop(5.0)


def test_a_job_that_hangs_is_left_alone_and_no_other_is_started() -> None:
    clock, release, started = FakeClock(), threading.Event(), []
    worker = Worker("hung", clock)
    before = threading.active_count()

    def hang() -> None:
        started.append(1)
        release.wait(10)

    assert not worker.run(hang, 0.01)
    for _ in range(5):
        clock.advance(1)
        assert not worker.run(hang, 0.01)
    assert worker.busy_seconds() == 5
    assert threading.active_count() == before + 1
    release.set()
    wait_for(lambda: worker.run(lambda: None, 5.0))  # until the thread has left the job
    assert started == [1]
    assert worker.busy_seconds() == 0
    assert worker.stop(5.0)


def test_where_no_thread_can_be_started_the_next_run_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, done = Worker("test", FakeClock()), []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            worker.run(lambda: done.append("a"), 5.0)
    assert worker.run(lambda: done.append("b"), 5.0)
    assert done == ["b"]
    assert worker.stop(5.0)


def test_what_a_job_raises_reaches_the_caller_and_the_next_job_runs() -> None:
    worker = Worker("test", FakeClock())

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        worker.run(fail, 5.0)
    assert worker.run(lambda: None, 5.0)
    assert worker.stop(5.0)


def test_a_hung_thread_does_not_keep_anybody_from_leaving() -> None:
    release = threading.Event()
    worker = Worker("hung", FakeClock())

    def hang() -> None:
        release.wait(10)

    worker.run(hang, 0.01)
    assert not worker.stop(0.01)
    release.set()


def test_nothing_has_to_be_stopped_where_nothing_ran() -> None:
    assert Worker("idle", FakeClock()).stop(0.0)
