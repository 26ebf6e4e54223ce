"""The worker's thread outlives every error, and says so when its rounds come to no end."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from tests.patience import PATIENCE, wait_for
from vllm_healer.errors import Blind, JournalError
from vllm_healer.worker.pool import DaemonPool


def overdue(world: Any) -> float:
    return float(world.own.registry.get_sample_value("vllm_healer_jobs_overdue"))


@pytest.mark.parametrize("error", [KeyError("a defect"), JournalError("its disk hangs")], ids=["defect", "journal"])
def test_a_round_that_fails_is_followed_by_another(
    world: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    rounds: list[float] = []

    def broken() -> None:
        rounds.append(0.0)
        raise error

    monkeypatch.setattr(world.worker, "tick", broken)
    world.worker.start()
    wait_for(lambda: len(rounds) == 1)
    world.worker.wake()
    wait_for(lambda: len(rounds) == 2)
    assert world.worker.alive()
    world.clock.advance(61.0)
    assert not world.worker.alive()
    world.worker.stop()


def test_rounds_that_end_keep_it_alive(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[float] = []
    monkeypatch.setattr(world.worker, "tick", lambda: rounds.append(0.0))
    world.worker.start()
    wait_for(lambda: len(rounds) == 1)
    world.clock.advance(61.0)
    world.worker.wake()
    wait_for(lambda: len(rounds) == 2 and world.worker.alive())
    world.worker.stop()
    assert not world.worker.alive()


def test_a_job_that_hangs_is_seen_by_readiness_and_counted(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, begun = threading.Event(), threading.Event()

    def hanging(target: object) -> None:
        begun.set()
        ended.wait(PATIENCE)

    monkeypatch.setattr(world.server, "observe", hanging)
    worker = world.new_worker(DaemonPool(4, "hung", patience=1000.0, spare=0))
    worker.start()
    wait_for(begun.is_set)
    for _ in range(25):  # 250 s, in which rounds and comparisons go on
        world.clock.advance(10.0)
        worker.wake()
        wait_for(lambda: overdue(world) == 1.0 or worker.alive())
    wait_for(lambda: overdue(world) == 1.0)
    assert not worker.alive()
    ended.set()
    wait_for(lambda: worker.wake() or overdue(world) == 0.0)
    assert worker.alive()
    worker.stop()


def test_comparisons_that_never_end_are_seen_by_readiness(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(world, "active", lambda *arguments: ended.wait(PATIENCE) and ())
    worker = world.new_worker(DaemonPool(4, "deaf", patience=1000.0, spare=0))
    worker.start()
    wait_for(worker.alive)
    for _ in range(8):  # 80 s, in which rounds go on
        world.clock.advance(10.0)
        worker.wake()
    wait_for(lambda: worker.wake() or not worker.alive())
    ended.set()
    wait_for(lambda: worker.wake() or worker.alive())
    worker.stop()


def test_an_alertmanager_that_is_down_does_not_make_the_healer_unready(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def down(*arguments: object) -> object:
        asked.append(world.clock.boot)
        raise Blind("connection refused")

    monkeypatch.setattr(world, "active", down)

    def asked_so_often(number: int) -> bool:
        return len(asked) >= number

    worker = world.new_worker(DaemonPool(4, "down", patience=1000.0, spare=0))
    worker.start()
    for number in range(1, 9):
        wait_for(partial(asked_so_often, number))
        assert worker.alive()
        world.clock.advance(16.0)
        worker.wake()
    worker.stop()
