"""How channels are found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from deploy.config.channel import load_channels
from deploy.config.people import People
from deploy.errors import ChannelError

CHANNEL = """\
from deploy.config.channel import Channel, Receiver
class {name}(Channel):
    keys = ()
    def receiver(self, value): return Receiver("words", "kind", {{}})
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[ModuleType]:
    """An empty package in `tmp_path`; tests write its modules."""
    made = ModuleType("channels_of_test")
    made.__path__ = [str(tmp_path)]
    sys.modules["channels_of_test"] = made
    yield made
    for name in [name for name in sys.modules if name.startswith("channels_of_test")]:
        del sys.modules[name]


def test_a_modules_name_is_its_channels_name(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "teams.py").write_text(CHANNEL.format(name="Teams"))
    (tmp_path / "discord.py").write_text(CHANNEL.format(name="Discord"))
    assert list(load_channels(package)) == ["discord", "teams"]


def test_a_module_with_two_channels_names_both(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "teams.py").write_text(CHANNEL.format(name="Teams") + CHANNEL.format(name="Other"))
    with pytest.raises(ChannelError, match=r"channels_of_test\.teams: expected one subclass .*, found Teams and Other"):
        load_channels(package)


def test_a_module_without_a_channel_is_refused(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "teams.py").write_text("from deploy.config.channel import Channel\n")
    with pytest.raises(ChannelError, match="found none"):
        load_channels(package)


def test_an_import_error_is_not_swallowed(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "teams.py").write_text("import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_channels(package)


def test_several_channels_are_told_together(people_of: Callable[..., People]) -> None:
    env = "ALERT_WEBHOOK_URL=https://h/x\nSMTP_SMARTHOST=mail:25\nSMTP_FROM=v@b.c\nSMTP_TO=a@b.c\n"
    people = people_of(env + "SLACK_WEBHOOK_URL_FILE=slack\n", slack="https://hooks.example.org/x\n")
    assert people.words() == "mail to a@b.c, Slack, webhook"
    assert list(people.blocks()) == ["email_configs", "slack_configs", "webhook_configs"]


def test_without_a_channel_the_words_say_how_to_get_one(people_of: Callable[..., People]) -> None:
    people = people_of("")
    assert people.blocks() == {}
    assert people.words() == (
        "nobody is told, alerts are seen in Alertmanager only: set a channel in .env; docs/notifications.md says how"
    )
