"""People: who is told of alerts, by which channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from deploy.config.channel import Block, Channel, Receiver
from deploy.config.dotenv import Entry
from deploy.config.hearing import SEVERITIES, words_of
from deploy.config.keys import CHANNELS, MUTE_SEVERITIES, MUTE_TIMES, MUTE_ZONE, keys_of, split_name
from deploy.config.mute import Mute, parse_mute
from deploy.errors import SettingsError

ONCE = "-once"  # ends the names of receivers that hear nothing of an end
NOBODY = "nobody is told, alerts are seen in Alertmanager only: set a channel in .env; docs/notifications.md says how"


@dataclass(frozen=True)
class People:
    """Every channel is optional; without any, alerts are seen in Alertmanager only."""

    receivers: tuple[Receiver, ...] = ()
    mute: Mute | None = None

    def words(self) -> str:
        """Says in one line who is told, without any secret."""
        return ", ".join(map(_words, self.receivers)) or NOBODY

    def warnings(self) -> tuple[str, ...]:
        own = tuple(warning for receiver in self.receivers for warning in receiver.warnings)
        return (*own, *self._unheard())

    def blocks(self) -> dict[str, list[Block]]:
        """Returns the lists that go into the receiver of people who hear all; empty without such channels."""
        blocks: dict[str, list[Block]] = {}
        for receiver in self.receivers:
            if not receiver.name:
                blocks.setdefault(receiver.kind, []).append(receiver.block)
        return blocks

    def choosy(self) -> tuple[Receiver, ...]:
        """Returns those that have a receiver of their own, since they do not hear all."""
        return tuple(receiver for receiver in self.receivers if receiver.name)

    def once(self) -> People:
        """Returns the ways for what is told once: without word of its end, and not where it would open an incident."""
        told = (one for one in self.receivers if not one.opens_incidents)
        return replace(self, receivers=tuple(map(_once, told)))

    def check_version(self, version: tuple[int, int] | None, fix: str) -> None:
        """Raises SettingsError, which ends with `fix`, for a channel that this Alertmanager does not have.

        An unknown version, None, is taken for new enough: Alertmanager itself refuses what it does not know.
        """
        for receiver in self.receivers:
            if version and version < receiver.since:
                needed, present = (".".join(map(str, one)) for one in (receiver.since, version))
                raise SettingsError(f"{receiver.words} needs Alertmanager {needed}, and this is {present}: {fix}")

    def _unheard(self) -> list[str]:
        """The severities of which nobody hears whole, though somebody is told."""
        if not self.receivers or self.blocks():
            return []
        whole = [receiver.severities for receiver in self.receivers if not receiver.components]
        lost = [one for one in SEVERITIES if not any(not heard or one in heard for heard in whole)]
        return [f"no channel hears of every alert of severity {one}" for one in lost if one != "info"]


def choose_people(chosen: Mapping[str, Entry]) -> People:
    """Makes a receiver for each channel of which a key is set, and one more for each number. The entries are checked.

    Raises SettingsError for a receiver of which nothing says to whom.
    """
    return People(
        tuple(
            _receiver(name, channel, suffix, chosen)
            for name, channel in CHANNELS.items()
            for suffix in _suffixes(channel, chosen)
        ),
        parse_mute(chosen.get(MUTE_TIMES), chosen.get(MUTE_SEVERITIES), chosen.get(MUTE_ZONE)),
    )


def _suffixes(channel: Channel, chosen: Mapping[str, Entry]) -> list[str]:
    """Returns '' for the keys without a number, '_2' and so on for those with one."""
    own = {key.name for key in keys_of(channel)}
    found = {suffix for base, suffix in map(split_name, chosen) if base in own}
    return sorted(found, key=lambda suffix: int(suffix[1:] or 1))


def _receiver(name: str, channel: Channel, suffix: str, chosen: Mapping[str, Entry]) -> Receiver:
    if not any(key + suffix in chosen for key in channel.where):
        first = next(entry for key, entry in chosen.items() if split_name(key) in _own(channel, suffix))
        places = " or ".join(key + suffix for key in channel.where)
        raise SettingsError(f"{first.where}: {first.key} is set and {places} is not: set both, or neither")
    value = {key.name: _value(key.name, key.default, channel, suffix, chosen) for key in channel.keys}
    severities, components = (words_of(_entry(f"{channel.prefix}_{what}{suffix}", chosen)) for what in _FILTERS)
    own = f"human-{name}{suffix.replace('_', '-')}" if severities or components else ""
    made = channel.receiver(value)
    return replace(made, name=own, severities=severities, components=components)


_FILTERS = ("SEVERITIES", "COMPONENTS")


def _own(channel: Channel, suffix: str) -> set[tuple[str, str]]:
    return {(key.name, suffix) for key in keys_of(channel)}


def _value(name: str, default: str, channel: Channel, suffix: str, chosen: Mapping[str, Entry]) -> str:
    """Returns the receiver's own value, else for what may be shared that of the one without a number."""
    shared = default if name in channel.where or not suffix else _entry(name, chosen) or default
    return _entry(name + suffix, chosen) or shared


def _entry(name: str, chosen: Mapping[str, Entry]) -> str:
    return chosen[name].value if name in chosen else ""


def _once(receiver: Receiver) -> Receiver:
    name = f"{receiver.name}{ONCE}" if receiver.name else ""
    return replace(receiver, name=name, block={**receiver.block, "send_resolved": False})


def _words(receiver: Receiver) -> str:
    only = ", ".join((*receiver.severities, *receiver.components))
    return f"{receiver.words} ({only} only)" if only else receiver.words
