"""What Alertmanager holds back of a listed server, in the journal and as a metric."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.healer.worker.world import SERVER, alert
from vllm_healer.model import Alert, Standing
from vllm_healer.worker.suppressed import destructive_alerts, held_back


def stood(name: str, standing: Standing, server: str = SERVER, **labels: str) -> Alert:
    made = alert(name, server)
    return replace(made, labels={**made.labels, **labels}, standing=standing)


def counted(world: Any) -> float:
    value = world.own.registry.get_sample_value("vllm_healer_alerts_suppressed", {"server": SERVER})
    assert value is not None
    return float(value)


def told(world: Any) -> list[str]:
    return [
        line for line in world.history() if ("Alertmanager" in line and "held back" in line) or "silenced in" in line
    ]


def test_nothing_is_held_back_at_first(world: Any) -> None:
    assert counted(world) == 0
    world.run(60)
    assert counted(world) == 0
    assert told(world) == []


def test_a_silenced_stall_is_told_once_and_counted_until_the_silence_ends(world: Any) -> None:
    world.run(16)
    world.fire("VllmEngineStalled")
    world.stand(Standing.SUPPRESSED)
    world.run(90)
    assert counted(world) == 1
    [line] = told(world)
    assert line.endswith(
        f"VllmEngineStalled of {SERVER} is silenced in Alertmanager, or inhibited by another alert: "
        "nothing is done about it until that ends"
    )
    world.stand(Standing.SENT)
    world.run(30)
    assert counted(world) == 0
    assert told(world)[1:] == [told(world)[-1]]
    assert told(world)[-1].endswith(f"VllmEngineStalled of {SERVER} is not held back in Alertmanager any more")


def test_a_forged_alert_that_asks_for_nothing_and_inhibits_the_rest_is_told() -> None:
    forged = stood("VllmDown", Standing.SENT, healable="false")
    stalled = stood("VllmEngineStalled", Standing.SUPPRESSED)
    assert held_back([forged, stalled], [SERVER]) == {SERVER: (stalled,)}


@pytest.mark.parametrize("standing", [Standing.SENT, Standing.UNKNOWN, Standing.MUTED])
def test_an_outage_that_rightly_inhibits_the_rest_is_not_told(standing: Standing) -> None:
    active = [stood("VllmDown", standing), stood("VllmEngineStalled", Standing.SUPPRESSED)]
    assert held_back(active, [SERVER]) == {}


def test_strangers_and_alerts_that_ask_for_nothing_are_not_told() -> None:
    active = [
        stood("VllmDown", Standing.SUPPRESSED, "stranger:1"),
        stood("VllmQueueOverload", Standing.SUPPRESSED),
        stood("VllmDown", Standing.SUPPRESSED, healable="false"),
    ]
    assert held_back(active, [SERVER]) == {}


def test_the_alerts_that_ask_for_an_action() -> None:
    assert destructive_alerts() >= {"VllmDown", "VllmEngineStalled", "VllmProcessOrphaned"}
    assert not destructive_alerts() & {"VllmQueueOverload", "HighLatency", "Watchdog"}
