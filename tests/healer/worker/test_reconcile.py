"""The comparison with the world every 15 seconds: what it makes up for, and what it must not conclude."""

from __future__ import annotations

from typing import Any

import pytest

from vllm_healer.errors import JournalError
from vllm_healer.model import Health, IncidentState, RunState


def test_an_alertmanager_that_was_just_restarted_and_knows_nothing_closes_no_incident(world: Any) -> None:
    world.run(16)
    world.fire("VllmQueueOverload")
    world.run(40)
    before, world.alerts = list(world.alerts), []
    world.run(60)
    assert world.states() == {IncidentState.OPEN: 1}
    world.alerts = before
    world.resolve()
    world.run(20)
    assert world.states() == {IncidentState.RESOLVED: 1}


def test_a_lost_webhook_about_a_server_with_an_open_incident_is_made_up_for(world: Any) -> None:
    world.run(16)
    world.fire("VllmQueueOverload")
    world.run(20)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire_unheard("VllmDown")
    world.run(40)
    assert world.server.restarts == 1
    assert sum("VllmDown on gpu1:8000 joined the incident" in line for line in world.history()) == 1


def test_a_missing_watchdog_is_told_also_when_the_journal_cannot_be_written(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise JournalError("its disk is full")

    monkeypatch.setattr(world.journal, "note", full)
    world.alerts = []
    world.run(400)
    assert len(world.told) == 1


def test_a_silenced_incident_is_taken_up_again_when_the_silence_ends(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    firing = list(world.alerts)
    world.resolve()  # what Alertmanager says of a silenced alert
    world.run(60)
    assert world.states() == {IncidentState.RESOLVED: 1}
    world.alerts = firing
    world.run(200)
    assert world.server.restarts == 1


def test_a_failed_incident_is_taken_up_again_after_the_cooldown(world: Any) -> None:
    world.run(16)
    world.server.heals = False
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(640)
    assert world.states() == {IncidentState.FAILED: 1}
    world.server.heals, world.server.state = True, RunState.EXITED
    world.run(400)
    assert world.server.restarts == 2
