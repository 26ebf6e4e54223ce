"""Many servers in one process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.simulator.harness import LOOK, Running, fleet, request, until


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fleet(tmp_path_factory.mktemp("fleet"), 5, "--step-base", "0.016", "--speed", "16") as running:
        yield running


def mended(servers: Running, port: int) -> None:
    request(servers.port, "POST", "/sim/mend", json.dumps({"port": port}).encode())


def test_each_server_has_its_own_engine_and_numbers(servers: Running) -> None:
    assert servers.complete()[0] == 200
    assert servers.value("vllm:generation_tokens_total") == 2
    other = request(servers.port + 1, "GET", "/metrics")[1]
    assert 'vllm:generation_tokens_total{engine="0",model_name="sim"} 0.0' in other


def test_one_hangs_and_the_others_do_not(servers: Running) -> None:
    port = servers.port + 2
    request(port, "POST", "/sim/break", b'{"how": "hang_idle"}')
    body = json.dumps({"model": "sim", "prompt": "a", "max_tokens": 1}).encode()
    with pytest.raises(TimeoutError):
        request(port, "POST", "/v1/completions", body, 0.3)
    assert servers.complete()[0] == 200
    mended(servers, port)
    assert request(port, "POST", "/v1/completions", body)[0] == 200


def test_one_that_crashes_is_started_again(servers: Running) -> None:
    port = servers.port + 3
    started = _created(port)
    request(port, "POST", "/sim/break", b'{"how": "crash"}')
    until("it is another", lambda: _health(port) == 200 and _created(port) > started)


def test_one_that_does_not_come_up_is_mended_through_another(servers: Running) -> None:
    port = servers.port + 4
    request(port, "POST", "/sim/break", b'{"how": "start_never_ends"}')
    until("it is down", lambda: _health(port) == 0)
    _, text = request(servers.port, "POST", "/sim/break", json.dumps({"how": "hang", "port": port}).encode())
    assert "is not up" in text
    mended(servers, port)
    until("it is back", lambda: _health(port) == 200)


def test_what_needs_processes_is_refused(servers: Running) -> None:
    status, text = servers.break_("orphan")
    assert status == 409
    assert "use `serve`" in text


def _health(port: int) -> int:
    try:
        return request(port, "GET", "/health", timeout=LOOK)[0]
    except OSError:
        return 0


def _created(port: int) -> float:
    """0.0 when nothing answers."""
    with contextlib.suppress(OSError):
        lines = request(port, "GET", "/metrics")[1].splitlines()
        return float(next(line for line in lines if line.startswith("vllm:prompt_tokens_created{")).split()[-1])
    return 0.0
