"""What every channel has: a test, keys in the generated files, and a block that Alertmanager 0.25 takes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.config.channel import OLDEST, Receiver
from deploy.config.keys import CHANNELS, KEYS, keys_of
from deploy.config.pages import compose_env, env_example, settings_page

ROOT = Path(__file__).resolve().parents[2]
EACH = pytest.mark.parametrize("name", CHANNELS)
SECRET_WORDS = ("KEY", "PASSWORD", "SECRET", "TOKEN")
AMTOOLS = sorted({str(tool.resolve()) for place in os.get_exec_path() if (tool := Path(place, "amtool")).exists()})


def example(name: str) -> Receiver:
    """The channel with each of its keys at its default or its example, but for those that replace another."""
    return CHANNELS[name].receiver(
        {key.name: "" if key.instead_of else key.default or key.example for key in CHANNELS[name].keys}
    )


@EACH
def test_has_a_test(name: str) -> None:
    assert (ROOT / "tests" / "deploy" / "channels" / f"test_{name}.py").exists()


@EACH
def test_its_keys_are_in_the_page_and_in_the_example(name: str) -> None:
    page, env = (ROOT / "docs" / "settings.md").read_text(), (ROOT / ".env.example").read_text()
    assert f"\n## Alerts by {CHANNELS[name].title}\n" in page
    for key in keys_of(CHANNELS[name]):
        assert f"| `{key.name}` | " in page
        assert f"\n#{key.name}={key.default or key.example}\n" in env


def test_the_generated_files_are_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page()
    assert (ROOT / ".env.example").read_text() == env_example()
    assert (ROOT / "deploy" / "compose" / "settings.env").read_text() == compose_env()


@EACH
def test_its_keys_begin_alike_and_one_says_to_whom(name: str) -> None:
    channel = CHANNELS[name]
    assert all(key.name.startswith(f"{channel.prefix}_") for key in channel.keys)
    assert set(channel.where) <= {key.name for key in channel.keys}


def test_no_key_belongs_to_two() -> None:
    names = [key.name for key in KEYS]
    assert sorted(set(names)) == sorted(names)


@EACH
def test_each_key_has_a_value_to_show_and_a_secret_is_in_a_file(name: str) -> None:
    for key in CHANNELS[name].keys:
        assert key.default or key.example
        assert key.file == key.name.endswith("_FILE")
        assert key.file or not any(word in key.name for word in SECRET_WORDS)


@EACH
def test_what_a_container_must_be_given_is_found_by_its_name(name: str) -> None:
    """deploy/config/carried.py copies each absolute path below a key that ends with _file.

    A file in place of another key is read when the configuration is rendered.
    """
    files = {key.example for key in CHANNELS[name].keys if key.file and not key.instead_of}
    block = example(name).block
    assert files == {value for key, value in block.items() if key.endswith("_file")}


@EACH
@pytest.mark.real
@pytest.mark.skipif(not AMTOOLS, reason="no amtool on PATH: make install")
def test_alertmanager_takes_its_block(name: str, tmp_path: Path) -> None:
    receiver = example(name)
    people = {"name": "human", receiver.kind: [receiver.block]}
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump({"route": {"receiver": "human"}, "receivers": [people]}))
    for amtool in AMTOOLS:
        if receiver.since > OLDEST and "version 0.25" in version_of(amtool):
            continue  # `make up` says what is needed: tests/deploy/channels/test_msteams.py
        command = [amtool, "check-config", str(tmp_path / "alertmanager.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def version_of(amtool: str) -> str:
    done = subprocess.run([amtool, "--version"], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@EACH
def test_its_words_hold_no_path_and_no_url(name: str) -> None:
    receiver = example(name)
    assert "/" not in receiver.words
    assert json.dumps(receiver.block)  # plain values
