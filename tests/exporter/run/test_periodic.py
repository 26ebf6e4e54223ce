from __future__ import annotations

import threading

from vllm_exporter.run.periodic import PeriodicTask


def test_goes_at_once_then_at_its_interval_and_sooner_when_hurried() -> None:
    gone = threading.Semaphore(0)
    errand = PeriodicTask("test", lambda: gone.release(), 300.0)
    runs = []
    for now in (0.0, 10.0, 299.0, 300.0, 301.0):
        errand.go_if_due(now)
        runs.append(gone.acquire(timeout=0.05))
    assert runs == [True, False, False, True, False]
    errand.hurry()
    errand.go_if_due(302.0)
    assert gone.acquire(timeout=1)


def test_one_that_still_waits_for_its_answer_is_not_sent_again() -> None:
    answer, begun = threading.Event(), threading.Semaphore(0)

    def run() -> None:
        begun.release()
        answer.wait(5)

    errand = PeriodicTask("test", run, 15.0)
    errand.go_if_due(0.0)
    errand.go_if_due(100.0)
    assert begun.acquire(timeout=1)
    assert not begun.acquire(timeout=0.05)
    answer.set()
