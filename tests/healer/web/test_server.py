"""The real thing: waitress on loopback, and the real journal behind it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from waitress import wasyncore

from tests.patience import PATIENCE, wait_for
from vllm_healer.clock import SystemClock
from vllm_healer.config import Config
from vllm_healer.errors import ConfigError
from vllm_healer.journal import Journal
from vllm_healer.metrics import HealerMetrics
from vllm_healer.web import WebDeps, create_app, make_server
from vllm_healer.web.server import Server


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path / "journal.sqlite", SystemClock())
    yield journal
    journal.close()


@pytest.fixture
def port(deps: WebDeps, journal: Journal) -> Iterator[int]:
    """Of a healer with the default limits."""
    app = create_app(replace(deps, journal=journal, clock=SystemClock(), config=Config()))
    server = make_server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield int(server.effective_port)
    stop(server, thread)


def stop(server: Server, thread: threading.Thread) -> None:
    """The loop ends when it watches nothing any more. What it watched is closed after it, the trigger too: a thread
    that has just answered may have pulled it, so that the loop may run `end` before this pull is over."""
    watched: dict[int, Any] = {}

    def end() -> None:
        watched.update(server._map)
        server._map.clear()

    server.trigger.pull_trigger(end)  # type: ignore[attr-defined]
    thread.join()
    wasyncore.close_all(watched)


@pytest.fixture
def post(port: int, authorized: dict[str, str]) -> Callable[[bytes], int]:
    def post(body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("POST", "/alerts", body, authorized)
        status = connection.getresponse().status
        connection.close()
        return status

    return post


def notification(prefix: str, alerts: int) -> bytes:
    """Of the size that real alerts have: about 600 bytes each."""
    return json.dumps(
        {
            "version": "4",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "VllmDown", "server": f"gpu{number}:8000", "severity": "critical"},
                    "annotations": {"summary": "vLLM does not answer", "description": "x" * 300},
                    "startsAt": "2026-03-01T12:00:05.123456789Z",
                    "fingerprint": f"{prefix}{number}",
                }
                for number in range(alerts)
            ],
        }
    ).encode()


def test_what_was_acknowledged_is_in_the_journal(post: Callable[[bytes], int], journal: Journal) -> None:
    assert post(notification("a", 3)) == 200
    assert [alert.fingerprint for alert in journal.unassigned()] == ["a0", "a1", "a2"]


def test_ten_thousand_alerts_are_acknowledged_in_two_seconds_of_cpu(
    post: Callable[[bytes], int], journal: Journal
) -> None:
    """By the clock it depends on what else the machine does; what takes ten seconds is answered with 503."""
    body = notification("a", 10_000)
    started = time.process_time()
    assert post(body) == 200
    assert time.process_time() - started < 2.0
    assert len(journal.unassigned()) == 10_000


def limit_pages(journal: Journal, pages: int) -> None:
    journal._writer.submit(lambda connection: connection.execute(text(f"PRAGMA max_page_count={pages}")).scalar())


def test_a_full_disk_is_503_and_loses_nothing(post: Callable[[bytes], int], journal: Journal) -> None:
    assert post(notification("before", 10)) == 200
    limit_pages(journal, 1)  # SQLite then lets the file grow no more, as a full disk does
    assert post(notification("full", 1000)) == 503
    assert len(journal.unassigned()) == 10
    limit_pages(journal, 100_000)
    assert post(notification("full", 1000)) == 200
    assert len(journal.unassigned()) == 1010


def test_many_senders_at_once_are_all_acknowledged(post: Callable[[bytes], int], journal: Journal) -> None:
    with ThreadPoolExecutor(12) as senders:
        statuses = list(senders.map(post, [notification(f"s{number}-", 1) for number in range(60)]))
    assert statuses == [200] * 60
    assert len(journal.unassigned()) == 60


def test_a_body_of_20_megabytes_is_refused_before_it_is_sent(
    port: int, deps: WebDeps, authorized: dict[str, str]
) -> None:
    """The answer comes after the headers, and it is counted."""
    head = [f"POST /alerts HTTP/1.1\r\nHost: healer\r\nContent-Length: {20_000_000}\r\n"]
    head += [f"{name}: {value}\r\n" for name, value in authorized.items()]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall("".join([*head, "\r\n"]).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["error"] == "the body is larger than 16777216 bytes"
    count = deps.metrics.registry.get_sample_value("vllm_healer_webhook_requests_total", {"code": "413"})
    assert count == 1


def cut_off(connection: socket.socket, chunk: bytes) -> bool:
    try:
        connection.sendall(chunk)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_an_endless_body_is_cut_off(port: int, authorized: dict[str, str]) -> None:
    head = [b"POST /alerts HTTP/1.1\r\nHost: healer\r\nTransfer-Encoding: chunked\r\n"]
    head += [f"{name}: {value}\r\n".encode() for name, value in authorized.items()]
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"".join([*head, b"\r\n"]))
        sent = [chunk for _ in range(100) if not cut_off(connection, chunk)]
    assert 10 <= len(sent) < 100


@pytest.fixture
def serve(deps: WebDeps, fake_journal: Any) -> Iterator[Callable[[], Server]]:
    """Starts a server, with the limits that the test has set, whose journal is the fake one."""
    started: list[tuple[Server, threading.Thread]] = []

    def serve() -> Server:
        server = make_server(create_app(deps), "127.0.0.1", 0)
        thread = threading.Thread(target=server.run)
        thread.start()
        started.append((server, thread))
        return server

    yield serve
    for server, thread in started:
        stop(server, thread)


def connect(server: Server, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(server.effective_port)), timeout=PATIENCE)
    connection.sendall(sent)
    return connection


def response_to(connection: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response


def answer(connection: socket.socket) -> tuple[int, Any]:
    """The status, and the body as JSON."""
    response = response_to(connection)
    return response.status, json.loads(response.read())


def ready(server: Server) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.effective_port), timeout=PATIENCE)
    connection.request("GET", "/-/ready")
    return connection.getresponse().status


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX: ", b"GET /-/ready HTTP/1.1\r\n\r\n"])
def test_clients_that_wait_make_room_for_others(
    serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Nothing was said, half a request, or all of one and the connection is kept, as Alertmanager keeps its own."""
    monkeypatch.setattr("vllm_healer.web.server.CONNECTIONS", 20)
    server = serve()
    waiting = []
    for _ in range(60):
        waiting.append(connect(server, said))
        if said.endswith(b"\r\n\r\n"):  # before the answer it does not wait, and gives way to nobody
            assert response_to(waiting[-1]).status == 200
    assert ready(server) == 200
    assert len(server.active_channels) <= 21
    for connection in waiting:
        connection.close()


def test_a_request_that_trickles_in_buys_no_time(serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_healer.web.server.IDLE_SECONDS", 0.3)
    connection = connect(serve(), b"GET / HTTP/1.1\r\nX: ")
    wait_for(lambda: cut_off(connection, b"a"), "the end of the connection", pause=0.02)
    connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 9000\r\n",
        b"Content-Length: 9000\r\nExpect: 100-continue\r\n",
        b"Content-Length: 20000000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 9000\r\nAuthorization: Bearer wrong-horse\r\n",
    ],
)
def test_without_the_token_a_body_is_refused_before_it_is_sent(
    serve: Callable[[], Server], metrics: HealerMetrics, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    connection = connect(serve(), b"POST /alerts HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
    assert answer(connection) == (
        401,
        {
            "error": "no or wrong bearer token",
            "fix": "send 'Authorization: Bearer' with the token of token_file",
        },
    )
    connection.close()
    assert metrics.registry.get_sample_value("vllm_healer_webhook_requests_total", {"code": "401"}) == 1
    assert "webhook refused status=401 from=127.0.0.1: no or wrong bearer token" in caplog.text


def test_bodies_without_a_token_take_no_disk(
    serve: Callable[[], Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waitress writes a body of more than half a megabyte to a file; these go to a directory that is not there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    server = serve()
    for path in (b"/alerts", b"/", b"/metrics", b"/pause", b"/nowhere"):
        connection = connect(server, b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n")
        assert answer(connection)[0] == 401
        connection.close()
    assert ready(server) == 200


def test_a_webhook_that_would_wait_long_is_told_to_come_again_and_health_is_answered(
    serve: Callable[[], Server],
    fake_journal: Any,
    metrics: HealerMetrics,
    monkeypatch: pytest.MonkeyPatch,
    authorized: dict[str, str],
) -> None:
    monkeypatch.setattr("vllm_healer.web.server.WEBHOOK_THREADS", 1)
    monkeypatch.setattr("vllm_healer.web.server.WAITING", 1)
    fake_journal.hold = threading.Event()
    server = serve()
    body = notification("a", 1)
    head = f"POST /alerts HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n".encode()
    request = head + f"Authorization: {authorized['Authorization']}\r\n\r\n".encode() + body
    first = connect(server, request)
    wait_for(lambda: fake_journal.held, "the journal to be asked")
    second = connect(server, request)
    wait_for(lambda: len(server.webhooks.queue) == 1, "the second one to wait")
    third = connect(server, request)
    status, words = answer(third)
    assert (status, words["error"]) == (503, "more webhooks came at once than are taken in a moment")
    assert ready(server) == 200
    fake_journal.hold.set()
    assert [answer(connection)[0] for connection in (first, second)] == [200, 200]
    third.sendall(request)
    assert answer(third)[0] == 200  # its connection was kept
    for connection in (first, second, third):
        connection.close()
    assert metrics.registry.get_sample_value("vllm_healer_webhook_requests_total", {"code": "503"}) == 1


def test_does_not_name_its_server_software(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/-/ready")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Server")) == (200, None)
    connection.close()


def test_a_port_in_use_is_named(deps: WebDeps) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            make_server(create_app(deps), "127.0.0.1", port)
