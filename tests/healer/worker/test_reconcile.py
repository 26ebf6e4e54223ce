"""The comparison with the world every 15 seconds: what it makes up for, and what it must not conclude."""

from __future__ import annotations

from typing import Any

import pytest

from vllm_healer.errors import JournalError
from vllm_healer.model import Health, IncidentState, RunState, Standing


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


def test_an_alert_for_people_alone_opens_no_incident_and_keeps_none_open(world: Any) -> None:
    world.run(16)
    world.fire("VllmProcessDied", healable="false")
    world.run(60)
    assert world.states() == {}
    world.fire("VllmQueueOverload")
    world.run(20)
    assert any("VllmProcessDied" in line and "VllmQueueOverload" in line for line in world.history())
    world.resolve()
    world.fire("VllmProcessDied", healable="false")
    world.run(60)
    assert world.states() == {IncidentState.RESOLVED: 1}


def test_a_lost_webhook_about_a_server_with_an_open_incident_is_made_up_for(world: Any) -> None:
    world.run(16)
    world.fire("VllmQueueOverload")
    world.run(20)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire_unheard("VllmDown")
    world.run(100)
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
    world.stand(Standing.SUPPRESSED)
    world.run(60)
    assert world.states() == {IncidentState.RESOLVED: 1}
    world.stand(Standing.SENT)
    world.run(30)
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


def end(world: Any) -> None:
    """The server's process ends, and nobody restarts it."""
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED


@pytest.mark.parametrize("standing", [Standing.UNKNOWN, Standing.MUTED, Standing.SUPPRESSED])
def test_an_alert_that_is_not_known_to_be_sent_is_never_acted_on(world: Any, standing: Standing) -> None:
    """prometheus/alertmanager#3513: a mute time of the healer's route, as for a maintenance window."""
    end(world)
    world.fire_unheard("VllmDown")
    world.stand(standing)
    world.run(300)
    assert (world.server.restarts, world.states()) == (0, {})


def test_where_alertmanager_does_not_say_what_it_sends_a_webhook_is_believed(world: Any) -> None:
    end(world)
    world.fire("VllmDown")
    world.stand(Standing.UNKNOWN)
    world.run(30)
    assert world.server.restarts == 1


@pytest.mark.parametrize("standing", [Standing.MUTED, Standing.SUPPRESSED])
def test_what_was_sent_is_not_acted_on_once_it_is_muted_or_silenced(world: Any, standing: Standing) -> None:
    end(world)
    world.fire("VllmDown")
    world.stand(standing)
    world.run(100)
    assert world.server.restarts == 0
    assert any(line.startswith("refusal") and "muted" in line for line in world.history())
    assert any(f"no alert of it is active any more ({standing.value})" in line for line in world.history())


def test_a_webhooks_alert_is_taken_up_again_after_a_failure_where_mute_times_are_not_known(world: Any) -> None:
    world.server.heals = False
    end(world)
    world.fire("VllmDown")
    world.stand(Standing.UNKNOWN)
    world.run(640)
    assert world.states() == {IncidentState.FAILED: 1}
    world.server.heals, world.server.state = True, RunState.EXITED
    world.run(400)
    assert world.server.restarts == 2


def test_only_the_watchdog_is_back_after_a_restart_of_alertmanager_and_nothing_is_closed(world: Any) -> None:
    """prometheus/prometheus#10457: Prometheus sends each alert again in a minute of its own."""
    world.run(16)
    world.fire("VllmQueueOverload")
    world.run(40)
    before = list(world.alerts)
    world.forget()
    world.run(120)
    assert world.states() == {IncidentState.OPEN: 1}
    world.alerts = before
    world.run(60)
    world.forget()
    world.run(120)  # the time before counts no more
    assert world.states() == {IncidentState.OPEN: 1}
    world.run(100)
    assert world.states() == {IncidentState.RESOLVED: 1}
    assert any("Alertmanager has had no VllmQueueOverload for 1" in line for line in world.history())


def test_what_is_missing_and_down_stays_open_until_it_is_said_to_be_resolved(world: Any) -> None:
    world.set_config(remediations={})
    end(world)
    world.fire("VllmDown")
    world.run(20)
    world.forget()
    world.run(900)
    assert world.states() == {IncidentState.OPEN: 1}
    world.alerts.append(world.alert("VllmDown"))
    world.resolve()
    world.run(60)
    assert world.states() == {IncidentState.RESOLVED: 1}
    last = [line for line in world.history() if "no alert of it is active any more" in line]
    assert len(last) == 1
    assert "(resolved); nothing was done, and gpu1:8000 is down by the healer's own look" in last[0]


def test_what_a_person_stopped_is_not_waited_for_when_its_alert_is_gone(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.STOPPED, Health.REFUSED
    world.fire("VllmDown")
    world.run(20)
    world.forget()
    world.run(300)
    assert world.states() == {IncidentState.RESOLVED: 1}


def test_an_alert_that_comes_back_after_it_was_given_up_is_taken_up_at_once(world: Any) -> None:
    world.run(16)
    world.fire("VllmDown")
    world.run(20)
    world.forget()
    world.run(300)
    assert world.states() == {IncidentState.RESOLVED: 1}
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(30)
    assert world.server.restarts == 1
