"""People: who is told of alerts, by which channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.config.channel import Block, Channel, Receiver
from deploy.config.dotenv import Entry
from deploy.config.keys import CHANNELS

NOBODY = "nobody is told, alerts are seen in Alertmanager only: set a channel in .env; docs/settings.md lists them"


@dataclass(frozen=True)
class People:
    """Every channel is optional; without any, alerts are seen in Alertmanager only."""

    receivers: tuple[Receiver, ...] = ()

    def words(self) -> str:
        """Says in one line who is told, without any secret."""
        return ", ".join(receiver.words for receiver in self.receivers) or NOBODY

    def warnings(self) -> tuple[str, ...]:
        return tuple(warning for receiver in self.receivers for warning in receiver.warnings)

    def blocks(self) -> dict[str, list[Block]]:
        """Returns the lists that go into the receiver of people; empty without channels."""
        blocks: dict[str, list[Block]] = {}
        for receiver in self.receivers:
            blocks.setdefault(receiver.kind, []).append(receiver.block)
        return blocks


def choose_people(chosen: Mapping[str, Entry]) -> People:
    """Makes a receiver for each channel of which a key is set. The entries have been checked."""
    on = [one for one in CHANNELS.values() if any(key.name in chosen for key in one.keys)]
    return People(tuple(channel.receiver(_values(channel, chosen)) for channel in on))


def _values(channel: Channel, chosen: Mapping[str, Entry]) -> dict[str, str]:
    return {key.name: chosen[key.name].value if key.name in chosen else key.default for key in channel.keys}
