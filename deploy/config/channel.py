"""A channel: one way in which people hear of alerts. Each module of deploy/config/channels is one.

A channel costs its module and its test, tests/deploy/channels/test_<name>.py. `make docs` writes its keys into
docs/settings.md, .env.example and deploy/compose/settings.env.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import ClassVar, TypeAlias

from deploy.config.key import Key
from deploy.errors import ChannelError

Block: TypeAlias = Mapping[str, object]

# Defined in alertmanager/templates/.
TITLE = '{{ template "vllm.title" . }}'
TEXT = '{{ template "vllm.text" . }}'

OLDEST = (0, 25)  # the Alertmanager that every block without `since` is for


@dataclass(frozen=True)
class Receiver:
    """The part that a channel adds to the receiver of people in alertmanager.yml."""

    words: str  # names the channel to a person; never a URL, which is a secret for Slack and for many webhooks
    kind: str  # the key of Alertmanager's list, such as slack_configs
    block: Block  # one entry of that list; only fields that Alertmanager 0.25 knows, or `since`
    warnings: tuple[str, ...] = ()  # of what is allowed and not wise; for `make up`
    opens_incidents: bool = False  # there, which stay open until the alert is resolved
    since: tuple[int, int] = OLDEST  # the first Alertmanager that has the kind
    name: str = ""  # of the receiver in alertmanager.yml, where it has one of its own because it does not hear all
    severities: tuple[str, ...] = ()  # that it hears; empty: all
    components: tuple[str, ...] = ()


class Channel(ABC):
    """Base of all channels. It is on when one of its keys is set."""

    title: ClassVar[str]  # as people call it
    setup: ClassVar[str]  # what to do on the other side; for docs/settings.md and .env.example
    prefix: ClassVar[str]  # of the names of its keys
    keys: ClassVar[tuple[Key, ...]]  # secrets are keys of files
    where: ClassVar[tuple[str, ...]]  # the keys that say to whom: a receiver has one of them; the others may be shared

    @abstractmethod
    def receiver(self, value: Mapping[str, str]) -> Receiver:
        """Returns what is told where. `value` holds each key of the channel, checked; '' when it has no default."""


def load_channels(package: ModuleType) -> dict[str, Channel]:
    """Returns name -> channel, sorted: a module is its own registration, and its file's name is the channel's.

    Raises ChannelError when a module does not define exactly one, and whatever a module raises at import: nobody
    is told by half of the channels.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: _only_channel(import_module(f"{package.__name__}.{name}"))() for name in names}


def _only_channel(module: ModuleType) -> type[Channel]:
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    found = [value for value in own if issubclass(value, Channel)]
    if len(found) != 1:
        names = " and ".join(value.__name__ for value in found) or "none"
        raise ChannelError(f"{module.__name__}: expected one subclass of Channel, found {names}")
    return found[0]
