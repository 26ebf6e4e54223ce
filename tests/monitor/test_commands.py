"""Commands to the processes of a server: signed, for a while, once."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from vllm_monitor.commands import Command, Mailbox, give, path_of

TOKEN = b"a long random word"


class Clock:
    """Seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def command(self, port: int = 0) -> Command:
        """A command that a person gives now."""
        return Command(int(self.now * 1000), int(self.now * 1000) + 20_000, port)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def mailbox(folder: Path, clock: Clock, token: bytes | None = TOKEN, port: int = 8000) -> Mailbox:
    return Mailbox(folder, "free-memory", token, port, clock)


def test_a_signed_command_is_obeyed_once(tmp_path: Path, clock: Clock) -> None:
    box = mailbox(tmp_path, clock)
    clock.now += 1
    give(tmp_path, "free-memory", clock.command(), TOKEN)
    assert box.take() == clock.command()
    assert box.take() is None
    assert path_of(tmp_path, "free-memory").stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.iterdir()] == ["free-memory.command"]


def test_one_that_is_put_there_again_is_not_obeyed(tmp_path: Path, clock: Clock) -> None:
    box = mailbox(tmp_path, clock)
    clock.now += 1
    given = clock.command()
    give(tmp_path, "free-memory", given, TOKEN)
    assert box.take() is not None
    give(tmp_path, "free-memory", given, TOKEN)
    assert box.take() is None


def test_a_process_that_started_later_does_not_obey_it(tmp_path: Path, clock: Clock) -> None:
    give(tmp_path, "free-memory", clock.command(), TOKEN)
    clock.now += 1
    assert mailbox(tmp_path, clock).take() is None


@pytest.mark.parametrize(
    ("change", "token"),
    [
        ({}, b"another token"),
        ({"generation": 1}, TOKEN),
        ({"expires": -1}, TOKEN),  # in the past
        ({"expires": 3_600_000}, TOKEN),  # for an hour
        ({"generation": 60_000, "expires": 90_000}, TOKEN),  # of a clock that runs ahead
    ],
)
def test_what_is_forged_old_or_of_another_time_is_refused_and_said(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, change: dict[str, int], token: bytes
) -> None:
    box = mailbox(tmp_path, clock)
    clock.now += 1
    now = int(clock.now * 1000)
    command = replace(clock.command(), **{key: now + ms if ms != 1 else 1 for key, ms in change.items()})
    give(tmp_path, "free-memory", command, token)
    assert box.take() is None
    assert box.take() is None
    assert len(caplog.records) == 1
    assert "free-memory.command is no command that is obeyed" in caplog.text
    assert TOKEN.decode() not in caplog.text


def test_a_signature_holds_for_one_command_of_one_name(tmp_path: Path, clock: Clock) -> None:
    box = mailbox(tmp_path, clock)
    clock.now += 1
    give(tmp_path, "free-memory", clock.command(port=8001), TOKEN)
    file = path_of(tmp_path, "free-memory")
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "port": 0}))
    assert box.take() is None
    give(tmp_path, "throttle", clock.command(), TOKEN)
    os.replace(path_of(tmp_path, "throttle"), file)
    assert box.take() is None


def test_a_command_for_another_server_is_left_to_that(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    box = mailbox(tmp_path, clock)
    clock.now += 1
    give(tmp_path, "free-memory", clock.command(port=8001), TOKEN)
    assert box.take() is None
    assert not caplog.records


@pytest.mark.parametrize("text", ["", "{", "[]", '{"generation": "x"}', '{"generation": null}', "{}", "9" * 5000])
def test_any_other_text_is_refused(tmp_path: Path, clock: Clock, text: str) -> None:
    box = mailbox(tmp_path, clock)
    path_of(tmp_path, "free-memory").write_text(text)
    assert box.take() is None


def test_a_link_or_a_pipe_is_not_read(tmp_path: Path, clock: Clock) -> None:
    box = mailbox(tmp_path, clock)
    file = path_of(tmp_path, "free-memory")
    file.symlink_to("/dev/zero")
    assert box.take() is None
    file.unlink()
    os.mkfifo(file)
    assert box.take() is None


def test_without_a_token_nothing_is_obeyed_and_the_log_says_what_is_missing(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    box = mailbox(tmp_path, clock, token=None)
    assert box.take() is None
    assert not caplog.records
    clock.now += 1
    give(tmp_path, "free-memory", clock.command(), TOKEN)
    with caplog.at_level(logging.WARNING):
        assert box.take() is None
    assert "VLLM_MONITOR_TOKEN_FILE names no file to this process" in caplog.text
