"""An overload is throttled, held as long as it lasts, and taken off; nothing of it outlives a healer that is killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.healer.worker.killing import Killed, kill_at
from vllm_healer.config import Mode
from vllm_healer.model import IncidentState

POINTS = 12  # writes from the alert to the end; a test below counts them


def overload(world: Any) -> None:
    """16 requests run and 150 wait at a server whose throttle the healer may ask."""
    target = replace(world.config.targets[0], monitor_token_file="/secrets/token")
    world.set_config(targets=(target,), remediations=dict.fromkeys(("throttle", "notify_only"), Mode.ACT))
    world.run(16)
    world.server.requests = (16.0, 150.0)
    world.fire("VllmQueueOverload")


def test_is_throttled_until_the_load_is_less_and_then_no_more(world: Any) -> None:
    overload(world)
    world.run(120)
    assert world.server.limits == [{"concurrency": 20, "port": 8000}]
    assert world.server.throttled == 1
    assert world.states() == {IncidentState.VERIFYING: 1}
    world.server.requests = (4.0, 0.0)
    world.run(10)
    assert world.server.limits == []
    assert world.states() == {IncidentState.HEALED: 1}
    assert any("the throttle was taken off" in line for line in world.history() if line.startswith("verdict"))
    assert world.server.restarts == 0
    assert world.evidence == []  # nothing is destroyed


def test_an_overload_that_outlasts_the_throttle_is_for_a_person(world: Any) -> None:
    overload(world)
    world.server.requests = (16.0, 4.0)
    world.run(620)
    assert IncidentState.FAILED in world.states()
    assert world.server.limits == []
    words = "it has 20 requests, of 20 that are let in: the load is as high"
    assert any(words in line for line in world.history() if line.startswith("verdict"))


def test_without_leave_it_is_only_told(world: Any) -> None:
    overload(world)
    world.set_config(remediations={"notify_only": Mode.ACT})
    world.run(120)
    assert world.server.throttled == 0
    assert any("shed load or add a replica" in line for line in world.history())


def test_a_server_that_hangs_meanwhile_is_restarted(world: Any) -> None:
    overload(world)
    world.set_config(remediations=dict.fromkeys(("throttle", "restart_engine"), Mode.ACT))
    world.run(30)
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(90)
    assert world.server.restarts == 1
    assert world.server.limits == []


def live(world: Any, seconds: int) -> None:
    """As `run`, and the load ends some time after the throttle was set, and then the alert."""
    for second in range(seconds):
        if world.server.throttled and second > 30:
            world.server.requests = (3.0, 0.0)
            world.resolve()
        world.run(1)


def test_there_are_as_many_points_as_writes(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    overload(world)
    made = kill_at(world, monkeypatch, point=0, written=False)
    live(world, 120)
    assert made == [
        *("open_incident", "note_open", "reserve", "set_state", "step", "step", "finish", "set_state"),
        *("step", "step", "conclude", "set_state"),
    ]
    assert len(made) == POINTS


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_killed_at_any_write_nothing_stays_throttled_or_locked(
    world: Any, monkeypatch: pytest.MonkeyPatch, point: int, written: bool
) -> None:
    overload(world)
    kill_at(world, monkeypatch, point, written)
    with pytest.raises(Killed):
        live(world, 120)
    world.worker = world.new_worker()
    live(world, 200)
    assert world.server.limits == []
    assert world.journal.unfinished() == ()
    assert world.journal.open_incidents() == ()
    assert world.server.restarts == 0
