"""supervisord's XML-RPC from a server that is not one, or not well."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.actuators.supervisor_rpc import Supervisor, parse_info
from vllm_healer.errors import Blind
from vllm_healer.model import RunState, Target


def supervisor(server: Any, timeout: float = 5.0) -> Supervisor:
    target = Target("gpu1:8000", "", "pool", "supervisord", {"url": server.url, "program": "vllm"})
    return Supervisor(target, timeout=timeout)


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"<html><p></html>", b"<methodResponse><params><param></param></params></methodResponse>", b"\xff"],
)
def test_garbage_is_blindness(server: Any, http: ModuleType, body: bytes) -> None:
    server.say("/RPC2", http.Reply(200, body))
    with pytest.raises(Blind, match="supervisord at http"):
        supervisor(server).info()


def test_silence_is_blindness_and_ends(server: Any, http: ModuleType) -> None:
    server.say("/RPC2", http.Reply(hang=True))
    with pytest.raises(Blind, match="did not answer getProcessInfo: timed out"):
        supervisor(server, timeout=0.2).info()


def test_an_error_and_an_answer_cut_short_are_blindness(server: Any, http: ModuleType) -> None:
    server.say("/RPC2", http.Reply(500), http.Reply(200, b"<?xml version='1.0'?><methodResponse>", missing=50))
    for words in ("answered HTTP 500", "did not answer"):
        with pytest.raises(Blind, match=words):
            supervisor(server).info()


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(b"\0" * 10**6), "it compressed what was asked for as it is"),
        ({}, b"<methodResponse>" + b" " * 5_000_000, "the answer is too large"),
    ],
)
def test_what_would_take_all_memory_is_not_read(
    server: Any, http: ModuleType, headers: dict[str, str], body: bytes, words: str
) -> None:
    server.say("/RPC2", http.Reply(200, body, headers=headers))
    with pytest.raises(Blind, match=f"did not answer getProcessInfo: {words}"):
        supervisor(server).info()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 10**400, "7", None])
def test_what_is_no_pid_or_time_is_none(number: object) -> None:
    info = parse_info({"state": 20, "statename": "RUNNING", "pid": number, "start": number, "now": number}, "url")
    assert (info.state, info.pid, info.start, info.now) == (RunState.RUNNING, 0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff\xfep\x00w\x00", "is not UTF-8 text"), (b" \n", "is empty"), (None, "No such file")]
)
def test_a_password_that_cannot_be_read_is_named_and_not_shown(
    server: Any, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    options = {"url": server.url, "program": "vllm", "username": "u", "password_file": str(tmp_path / "password")}
    with pytest.raises(Blind, match=rf"password_file {tmp_path}/password:? {words}"):
        Supervisor(Target("gpu1:8000", "", "pool", "supervisord", options)).info()
    assert server.requests == []
