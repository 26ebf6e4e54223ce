"""A person is told of a missing Watchdog until the message was delivered."""

from __future__ import annotations

from typing import Any


def test_a_message_that_the_channel_did_not_take_is_sent_until_it_does_and_then_no_more(world: Any) -> None:
    """H04: the outage that took the Watchdog took the way to the channel, too."""
    world.alerts, world.channel_up = [], False
    world.run(400)
    assert world.told == []
    world.channel_up = True
    world.run(100)
    assert len(world.told) == 1
    assert world.told[0].startswith("no Watchdog alert for ")
    assert sum("no Watchdog alert for" in line for line in world.history()) == 1


def test_an_outage_that_ended_before_anybody_could_be_told_is_told_late(world: Any) -> None:
    watchdog = list(world.alerts)
    world.alerts, world.channel_up = [], False
    world.run(600)
    world.alerts = watchdog
    world.run(60)
    assert world.told == []
    world.channel_up = True
    world.run(60)
    assert len(world.told) == 1
    assert world.told[0].startswith("the Watchdog alert is back; it was missing for ")


def test_an_outage_that_was_told_is_not_told_again_when_it_ends(world: Any) -> None:
    watchdog = list(world.alerts)
    world.alerts = []
    world.run(400)
    world.alerts = watchdog
    world.run(400)
    assert len(world.told) == 1


def test_a_watchdog_that_is_away_for_four_minutes_is_told_to_nobody(world: Any) -> None:
    watchdog = list(world.alerts)
    world.alerts = []
    world.run(240)
    world.alerts = watchdog
    world.run(60)
    assert world.told == []
