"""Who holds the token is let in, and nobody while it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vllm_monitor.token_file import TokenFile, UnusableToken, read_token

TOKEN = b"0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_bytes(TOKEN + b"\n")
    path.chmod(0o600)
    return path


def shown(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *((b"x-vllm-monitor-token", value) for value in values)]


def test_the_token_opens_and_nothing_else_does(file: Path) -> None:
    token = TokenFile(str(file))
    assert token.opens_to(shown(TOKEN))
    for wrong in (shown(), shown(b""), shown(TOKEN[:-1]), shown(TOKEN + b"0"), shown(TOKEN, TOKEN), shown(b"\xff")):
        assert not token.opens_to(wrong)
    assert not token.opens_to([(b"authorization", b"Bearer " + TOKEN)])


def test_a_new_token_needs_no_restart(file: Path) -> None:
    token = TokenFile(str(file))
    file.write_bytes(b"another-token-of-16")
    assert not token.opens_to(shown(TOKEN))
    assert token.opens_to(shown(b"another-token-of-16"))


def test_a_group_may_read_it(file: Path) -> None:
    file.chmod(0o640)
    assert TokenFile(str(file)).problem() == ""


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (TOKEN, 0o644, "is open to every user (mode 0644); run: chmod 600"),
        (TOKEN, 0o602, "is open to every user"),
        (b"", 0o600, "must hold one word of 8 characters or more"),
        (b"short", 0o600, "must hold one word of 8 characters or more"),
        (b"two words here", 0o600, "must hold one word"),
        (b"\xff" * 16, 0o600, "must hold one word"),
        (b"\x01" * 16, 0o600, "must hold one word"),
    ],
)
def test_a_file_that_cannot_be_used_lets_nobody_in_and_says_the_fix(
    file: Path, content: bytes, mode: int, words: str
) -> None:
    file.write_bytes(content)
    file.chmod(mode)
    token = TokenFile(str(file))
    assert words in token.problem()
    assert not content.strip() or content.decode("latin-1") not in token.problem()
    assert not token.opens_to(shown(content))


def test_what_is_no_file_lets_nobody_in(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in TokenFile(str(tmp_path / "pipe")).problem()
    assert "No such file" in TokenFile(str(tmp_path / "absent")).problem()
    assert "not a regular file" in TokenFile(str(tmp_path)).problem()
    assert "null" in TokenFile("a\0b").problem()


def test_without_the_variable_nobody_wants_a_guard() -> None:
    assert TokenFile.of({}) is None
    assert TokenFile.of({"VLLM_MONITOR_TOKEN_FILE": ""}) is None
    assert read_token({}) is None


def test_the_token_is_what_stands_in_the_file_of_the_variable(file: Path) -> None:
    assert read_token({"VLLM_MONITOR_TOKEN_FILE": str(file)}) == TOKEN
    with pytest.raises(UnusableToken, match="No such file"):
        read_token({"VLLM_MONITOR_TOKEN_FILE": "/absent"})
