"""The kept connection against real sockets on loopback: what is reused, what is sent again, and what is given up."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.exporter.answering import Answering, ok
from vllm_exporter.net.http import Garbled, Origin, Refused, TimedOut
from vllm_exporter.net.keep_alive import KEEP_SECONDS, KeptConnection

OK = ok(b"hello")


class Server:
    """Answers each request with the next of `answers`; b"" closes the connection instead, None says nothing."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self._server = Answering(self._answer)
        self.origin = Origin("127.0.0.1", self._server.port)
        self.close = self._server.close

    def _answer(self, connection: socket.socket) -> None:
        self.connections += 1
        while asked := connection.recv(65536):
            self.requests.append(asked)
            answer = self.answers.pop(0)
            if answer is None:
                self._server.closing.wait()
            if not answer:
                return
            connection.sendall(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


def test_two_requests_share_a_connection(server: Server) -> None:
    server.answers = [OK, OK.replace(b"hello", b"again").replace(b"200 OK", b"503 X")]
    kept = KeptConnection(server.origin, {"User-Agent": "us"})
    assert kept.get("/health", 1).body == b"hello"
    page = kept.get("/metrics", 1)
    assert (page.status, page.body, server.connections) == (503, b"again", 1)
    assert server.requests[1].startswith(b"GET /metrics HTTP/1.1\r\n")
    assert b"User-Agent: us\r\n" in server.requests[1]
    assert b"Connection: close" not in server.requests[1]


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(server: Server) -> None:
    server.answers = [OK, b"", OK]
    kept = KeptConnection(server.origin)
    assert [kept.get("/", 1).body for _ in range(2)] == [b"hello", b"hello"]
    assert server.connections == 2


def test_a_new_connection_that_is_closed_without_an_answer_is_an_error(server: Server) -> None:
    server.answers = [b""]
    with pytest.raises(Garbled, match="closed before the answer was complete"):
        KeptConnection(server.origin).get("/", 1)


def test_an_answer_that_says_close_is_the_last_on_its_connection(server: Server) -> None:
    server.answers = [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK]
    kept = KeptConnection(server.origin)
    assert [kept.get("/", 1).body for _ in range(2)] == [b"hello", b"hello"]
    assert server.connections == 2


def test_an_answer_in_chunks_is_read_too(server: Server) -> None:
    server.answers = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    assert KeptConnection(server.origin).get("/", 1).body == b"hello"


def test_a_connection_that_was_not_used_for_long_is_replaced_before_the_server_closes_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [OK, OK]
    kept = KeptConnection(server.origin)
    kept.get("/", 1)
    now = time.monotonic()
    monkeypatch.setattr("vllm_exporter.net.keep_alive.time.monotonic", lambda: now + KEEP_SECONDS)
    kept.get("/", KEEP_SECONDS + 1)
    assert server.connections == 2


@pytest.mark.parametrize("before", [0, 1])
def test_a_server_that_says_nothing_times_out_on_a_new_and_on_a_kept_connection(server: Server, before: int) -> None:
    server.answers = [*[OK] * before, None]
    kept = KeptConnection(server.origin)
    for _ in range(before):
        kept.get("/", 1)
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"no answer within 0\.2 s"):
        kept.get("/health", 0.2)
    assert 0.15 < time.monotonic() - started < 1


def test_a_server_that_stops_in_the_middle_times_out(server: Server) -> None:
    server.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"]
    with pytest.raises(TimedOut):
        KeptConnection(server.origin).get("/", 0.2)


def test_a_server_that_is_gone_is_refused_although_it_once_answered(server: Server) -> None:
    server.answers = [OK, b""]
    kept = KeptConnection(server.origin)
    kept.get("/", 1)
    server.close()
    with pytest.raises(Refused):
        kept.get("/", 1)


def test_what_was_not_asked_for_ends_the_connection(server: Server) -> None:
    server.answers = [OK + OK, OK]
    kept = KeptConnection(server.origin)
    assert [kept.get("/", 1).body for _ in range(2)] == [b"hello", b"hello"]


def test_a_server_of_http_1_0_which_closes_the_connection_itself_is_read_too(server: Server) -> None:
    server.answers = [OK.replace(b"HTTP/1.1", b"HTTP/1.0"), b"", OK]
    kept = KeptConnection(server.origin)
    assert [kept.get("/", 1).body for _ in range(2)] == [b"hello", b"hello"]
