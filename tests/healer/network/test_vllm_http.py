"""The verb `http`: one request to the server itself, and what its answers mean."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.actuators import DockerActuator, Supervisord
from vllm_healer.errors import HealerError, PermanentError, TemporaryError
from vllm_healer.model import Target
from vllm_healer.ports import Actuator


def ask(url: str, key_file: str = "", timeout: float = 5.0, actuator: Actuator | None = None) -> str:
    target = Target("gpu1:8000", url, "pool", "docker", api_key_file=key_file)
    return (actuator or DockerActuator()).http(target, "POST", "/pause", {"mode": "wait"}, timeout)


@pytest.mark.parametrize("actuator", [DockerActuator(), Supervisord(lambda server: {})])
def test_sends_json_with_the_servers_key_and_returns_the_answer(
    server: Any, http: ModuleType, tmp_path: Path, actuator: Actuator
) -> None:
    (tmp_path / "key").write_text("sesame\n")
    server.say("/pause", http.Reply(200, b"paused"))
    assert ask(server.url, str(tmp_path / "key"), actuator=actuator) == "paused"
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/pause", b'{"mode": "wait"}')
    assert request.headers["Authorization"] == "Bearer sesame"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, TemporaryError),
        (503, TemporaryError),
        (429, TemporaryError),
        (400, PermanentError),
        (401, PermanentError),
        (404, PermanentError),
        (302, PermanentError),
    ],
)
def test_a_refusal_says_whether_another_try_may_help(
    server: Any, http: ModuleType, status: int, error: type[HealerError]
) -> None:
    server.say("/pause", http.Reply(status, b"no"))
    said = ", a redirect, and none is followed" if status == 302 else ": 'no'"
    with pytest.raises(error, match=rf"POST http://.*/pause was answered with HTTP {status}{said}"):
        ask(server.url)
    assert len(server.requests) == 1


def test_silence_and_a_closed_port_may_pass(server: Any, http: ModuleType, nobody: str) -> None:
    server.say("/pause", http.Reply(hang=True))
    with pytest.raises(TemporaryError, match=r"was not answered: it did not answer within 0.1 s"):
        ask(server.url, timeout=0.1)
    with pytest.raises(TemporaryError, match="was not answered: it did not answer: Connection refused"):
        ask(nobody)


def test_the_token_of_the_part_inside_opens_management_paths(server: Any, http: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    server.say("/sleep", http.Reply(200))
    for file, sent in ((str(tmp_path / "token"), "0123456789abcdef"), ("", None)):
        target = Target("gpu1:8000", server.url, "pool", "docker", monitor_token_file=file)
        DockerActuator().http(target, "POST", "/sleep", None, 5.0)
        assert server.requests[-1].headers.get("X-Vllm-Monitor-Token") == sent


def test_a_token_that_cannot_be_read_is_named_and_nothing_is_asked(server: Any) -> None:
    target = Target("gpu1:8000", server.url, "pool", "docker", monitor_token_file="/nowhere")
    with pytest.raises(PermanentError, match="monitor_token_file /nowhere: No such file or directory"):
        DockerActuator().http(target, "POST", "/sleep", None, 5.0)
    assert server.requests == []


def test_a_key_that_cannot_be_read_is_named_and_nothing_is_asked(server: Any) -> None:
    with pytest.raises(PermanentError, match="api_key_file /nowhere: No such file or directory"):
        ask(server.url, "/nowhere")
    assert server.requests == []
