"""The worker's thread outlives every error, and says so when its rounds come to no end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.patience import wait_for
from vllm_healer.errors import JournalError


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
