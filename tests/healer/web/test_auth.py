from __future__ import annotations

import logging
from pathlib import Path

import pytest

from vllm_healer.errors import ConfigError
from vllm_healer.web.auth import allowed, read_token

SECRET = "5f2c9e7a"


def token_file(tmp_path: Path, text: str | bytes, mode: int = 0o600) -> str:
    path = tmp_path / "token"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660])
def test_reads_a_file_that_owner_or_group_may_read(tmp_path: Path, mode: int) -> None:
    assert read_token(token_file(tmp_path, f"{SECRET}\n", mode)) == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o777])
def test_refuses_a_file_that_everybody_may_use(tmp_path: Path, mode: int) -> None:
    path = token_file(tmp_path, SECRET, mode)
    with pytest.raises(ConfigError, match=rf"open to every user \(mode {mode:04o}\); run: chmod 600 {path}"):
        read_token(path)


@pytest.mark.parametrize("text", ["", "\n", "  \n\t"])
def test_refuses_an_empty_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is empty; write a token: openssl rand -hex 32"):
        read_token(token_file(tmp_path, text))


@pytest.mark.parametrize("text", ["x", "x\n", "1234567"])
def test_refuses_a_token_that_can_be_guessed(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"characters and can be guessed; write at least 8: openssl rand -hex 32"):
        read_token(token_file(tmp_path, text))


@pytest.mark.parametrize("text", [f"{SECRET} more", f"{SECRET}\n{SECRET}", f"{SECRET}\x00", b"\xff\xfe"])
def test_refuses_what_is_no_single_word_and_does_not_repeat_it(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        read_token(token_file(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_says_which_file_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent: No such file or directory; create it"):
        read_token(str(tmp_path / "absent"))


def test_says_that_none_is_set() -> None:
    with pytest.raises(ConfigError, match="token_file is not set; point it to a file"):
        read_token("")


def test_the_token_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert allowed(f"Bearer {read_token(token_file(tmp_path, SECRET))}", [SECRET])
        assert not allowed("Bearer guess", [SECRET])
    assert caplog.text == ""


@pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"Bearer  {SECRET} "])
def test_the_scheme_is_a_word_in_any_case(header: str) -> None:
    assert allowed(header, [SECRET])
    assert allowed(header, ["another-word", SECRET])
    assert not allowed(header, [])
