"""Asking a container engine. The answers are cut from those of Docker 28 and Podman 4.9."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exporter.fake_unix_server import unix_server
from tests.ports import free_port
from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.processes.docker_engine import (
    Container,
    ask_exit,
    list_containers,
    parse_containers,
    parse_state,
)

DOCKER = [
    {
        "Id": "4f2a" * 16,
        "Names": ["/vllm-a"],
        "Image": "vllm/vllm-openai:v0.32.0",
        "State": "running",
        "Ports": [
            {"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 18000, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 8000, "PublicPort": 18000, "Type": "tcp"},
            {"PrivatePort": 9000, "Type": "tcp"},
            {"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 53, "Type": "udp"},
        ],
    },
    {"Id": "0b1c" * 16, "Names": ["vllm-b"], "Ports": None},
]


def test_reads_names_and_published_ports() -> None:
    assert parse_containers(json.dumps(DOCKER).encode()) == {
        "4f2a" * 16: Container("vllm-a", {8000: frozenset({18000})}),
        "0b1c" * 16: Container("vllm-b", {}),
    }
    assert parse_containers(b"[]") == {}


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{}x", b"[1]", b'[{"Id": "x"}]', b'{"message": "no"}'])
def test_refuses_what_is_no_list_of_containers(body: bytes) -> None:
    with pytest.raises(SourceError, match="no list of containers"):
        parse_containers(body)


def test_the_exit_code_of_a_container_counts_once_it_has_ended() -> None:
    def state(**facts: object) -> bytes:
        return json.dumps({"State": facts}).encode()

    assert parse_state(state(Running=False, Restarting=False, ExitCode=137)) == 137 * 256
    assert parse_state(state(Running=True, Restarting=True, ExitCode=1)) == 256
    assert parse_state(state(Running=True, Restarting=False, ExitCode=0)) is None
    with pytest.raises(SourceError, match="no state of a container"):
        parse_state(b'{"message": "no such container"}')


def test_asks_over_the_socket_with_get_only(tmp_path: Path) -> None:
    answers = {
        "GET /containers/json": (200, json.dumps(DOCKER).encode()),
        "GET /containers/abc/json": (200, b'{"State": {"Running": false, "ExitCode": 2}}'),
    }
    socket_path = tmp_path / "docker.sock"
    with unix_server(socket_path, answers) as requests:
        assert list_containers(str(socket_path))["4f2a" * 16].name == "vllm-a"
        assert ask_exit(f"unix://{socket_path}", "abc") == 512
        with pytest.raises(SourceError, match="status 404"):
            ask_exit(str(socket_path), "gone")
    assert requests == ["GET /containers/json", "GET /containers/abc/json", "GET /containers/gone/json"]


def test_an_engine_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    for where in (str(tmp_path / "none.sock"), f"127.0.0.1:{free_port()}", "nonsense"):
        with pytest.raises(SourceError, match=where.rpartition("/")[2]):
            list_containers(where)
