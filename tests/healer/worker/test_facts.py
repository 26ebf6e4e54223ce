"""What a decision rests on is read in an order that leaves nothing to have changed meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vllm_healer.model import Canary, Health, Look, RunState, Target


def while_looked_at(world: Any, monkeypatch: pytest.MonkeyPatch, happens: Any) -> None:
    """`happens` during each look from now on, as in the 8 s of a canary that nobody answers."""
    look = world.server.look

    def slow(target: Target, canary: bool) -> Look:
        seen: Look = look(target, canary)
        happens()
        return seen

    monkeypatch.setattr(world.server, "look", slow)


def hang(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")


def test_a_server_that_a_person_stops_while_it_is_looked_at_stays_stopped(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(world)

    def stopped() -> None:
        world.server.state = RunState.STOPPED

    while_looked_at(world, monkeypatch, stopped)
    world.run(30)
    assert world.server.restarts == 0
    assert any("by a person" in line or "changed during it" in line for line in world.history())


def test_a_server_that_a_person_restarts_while_it_is_looked_at_is_not_restarted_again(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(world)

    def restarted() -> None:
        world.server.life += 1

    while_looked_at(world, monkeypatch, restarted)
    world.run(30)
    assert world.server.restarts == 0
    assert any("the process of gpu1:8000 changed during it" in line for line in world.history())


def test_a_silence_made_while_it_is_looked_at_is_heard(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hang(world)
    while_looked_at(world, monkeypatch, world.resolve)
    world.run(30)
    assert world.server.restarts == 0


def test_an_alert_that_is_not_healable_does_not_stand_in_for_one_that_was(world: Any) -> None:
    world.run(16)
    world.server.state = RunState.EXITED
    world.server.health = type(world.server.health).REFUSED
    world.fire("VllmDown")
    (down,) = [alert for alert in world.alerts if alert.name == "VllmDown"]
    world.alerts.remove(down)
    down.labels["healable"] = "false"  # the same name, another alert: only the scrape fails
    world.alerts.append(down)
    world.run(30)
    assert world.server.restarts == 0
    assert any("not healable" in line for line in world.history() if line.startswith("refusal"))


@pytest.mark.parametrize("stepped", [3600.0, -3600.0])
def test_a_wall_clock_that_is_set_makes_no_start_late(world: Any, stepped: float) -> None:
    """sonic-net/sonic-buildimage#4613: the clock is set after the start was stamped, as at boot before NTP."""
    world.run(700)
    world.server.life, world.server.started = 2, world.clock.wall - 5
    world.server.health = Health.REFUSED
    world.clock.wall += stepped
    world.fire("VllmDown")
    world.run(60)
    assert world.server.restarts == 0
    assert any("diagnosis: starting: pid 102" in line for line in world.history())


@pytest.mark.parametrize("status", ["HTTP 500: draining", "HTTP 429: slow down", "the connection broke"])
def test_a_canary_that_is_answered_with_an_error_is_no_hang(
    world: Any, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    hang(world)
    look = world.server.look

    def erring(target: Target, canary: bool) -> Look:
        seen: Look = look(target, canary)
        return Look(seen.health, Canary(False, True, 0.1, status, answered=True), seen.paused, seen.work)

    monkeypatch.setattr(world.server, "look", erring)
    world.run(30)
    assert world.server.restarts == 0
    assert any(status in line for line in world.history() if line.startswith("diagnosis"))


def pool_of(world: Any, count: int) -> None:
    first = world.config.targets[0]
    others = [replace(first, server=f"gpu{n}:8000", url=f"http://127.0.0.1:{8000 + n}") for n in range(2, count + 1)]
    world.set_config(targets=(first, *others))


def test_where_prometheus_calls_most_servers_bad_the_healer_looks_at_others_itself(world: Any) -> None:
    """All names lead to the one fake server, which answers after its first, failed canary."""
    pool_of(world, 3)
    hang(world)
    looked: list[str] = []
    look = world.server.look

    def seen(target: Target, canary: float) -> Look:
        looked.append(target.server)
        world.server.answers = target.server != "gpu1:8000"
        found: Look = look(target, canary)
        return found

    world.server.look = seen
    world.run(30)
    assert world.server.restarts == 0
    assert {"gpu2:8000", "gpu3:8000"} <= set(looked)
    assert any("refused: observer_fault, 3 of 3 servers look bad" in line for line in world.history())


def test_two_servers_are_not_looked_at_for_each_other(world: Any) -> None:
    pool_of(world, 2)
    hang(world)
    world.run(10)
    assert world.server.restarts == 1
