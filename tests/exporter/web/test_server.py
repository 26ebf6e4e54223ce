"""The server on real sockets of this host; every wait is bounded."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vllm_exporter.clock import SystemClock
from vllm_exporter.errors import ListenError
from vllm_exporter.web.http1 import Request, Response
from vllm_exporter.web.server import ClientLimits, Server, listen

WAIT = 45.0  # seconds a test waits for what must happen; see tests/patience.py


def answer(request: Request) -> Response:
    body = b"x" * 8_000_000 if request.path == "/big" else f"{request.method} {request.path}\n".encode()
    return Response(200, body)


@contextmanager
def running(limits: ClientLimits) -> Iterator[int]:
    """A server in a thread; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server([listener], answer, SystemClock(), limits)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield port
    server.stop()
    thread.join(WAIT)
    assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT)


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := sock.recv(65536):
            data += chunk
    return data


def get(port: int, path: str = "/a") -> bytes:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    client.request("GET", path)
    body = client.getresponse().read()
    client.close()
    return body


def test_serves_many_requests_on_one_connection() -> None:
    with running(ClientLimits()) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        for path in ("/a", "/b", "/c"):
            client.request("GET", path)
            assert client.getresponse().read() == f"GET {path}\n".encode()
        client.close()


def test_serves_requests_that_come_at_once_in_their_order() -> None:
    with running(ClientLimits()) as port, connect(port) as sock:
        sock.sendall(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n")
        data = read_all(sock)
    assert data.index(b"GET /a\n") < data.index(b"GET /b\n")


def test_serves_as_many_requests_at_once_as_a_client_likes() -> None:
    many = 3000
    with running(ClientLimits()) as port, connect(port) as sock:
        sock.sendall(b"GET /a HTTP/1.1\r\n\r\n" * many + b"GET /b HTTP/1.1\r\nConnection: close\r\n\r\n")
        data = read_all(sock)
        assert get(port) == b"GET /a\n"
    assert (data.count(b"GET /a\n"), data.count(b"GET /b\n")) == (many, 1)


def test_serves_a_request_that_comes_in_pieces() -> None:
    with running(ClientLimits()) as port, connect(port) as sock:
        for piece in (b"GE", b"T /a HT", b"TP/1.0\r\n", b"\r\n"):
            sock.sendall(piece)
        assert read_all(sock).endswith(b"GET /a\n")


def test_head_has_no_body() -> None:
    with running(ClientLimits()) as port, connect(port) as sock:
        sock.sendall(b"HEAD /a HTTP/1.0\r\n\r\n")
        assert read_all(sock).endswith(b"\r\n\r\n")


def test_garbage_is_answered_400_and_ends_the_connection() -> None:
    with running(ClientLimits()) as port, connect(port) as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_headers_without_end_are_answered_431() -> None:
    with running(ClientLimits()) as port, connect(port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4000)
        assert read_all(sock).startswith(b"HTTP/1.1 431 ")


def test_a_client_that_sends_too_slowly_is_dropped() -> None:
    with running(ClientLimits(request=0.2)) as port, connect(port) as sock:
        sock.sendall(b"GET / HT")
        assert read_all(sock) == b""


def test_a_client_that_trickles_gains_no_time() -> None:
    with running(ClientLimits(request=0.3)) as port, connect(port) as sock:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(b"A")
                threading.Event().wait(0.05)
        assert time.monotonic() - started < 5.0  # as long as all of it would take


def test_a_client_that_sends_nothing_is_dropped() -> None:
    with running(ClientLimits(request=0.2)) as port, connect(port) as sock:
        assert read_all(sock) == b""


def test_a_client_that_does_not_take_its_reply_is_dropped() -> None:
    with running(ClientLimits(reply=0.2)) as port, connect(port) as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nConnection: close\r\n\r\n")
        threading.Event().wait(0.5)
        assert len(read_all(sock)) < 8_000_000
        assert get(port) == b"GET /a\n"


def test_an_idle_connection_is_dropped() -> None:
    with running(ClientLimits(idle=0.2)) as port, connect(port) as sock:
        sock.sendall(b"GET /a HTTP/1.1\r\n\r\n")
        assert read_all(sock).endswith(b"GET /a\n")


def test_slow_clients_do_not_keep_others_out() -> None:
    with running(ClientLimits(connections=8, request=60.0)) as port:
        slow = [connect(port) for _ in range(20)]
        for sock in slow:
            with contextlib.suppress(ConnectionError):  # those beyond the limit have been dropped already
                sock.sendall(b"GET /")
        assert [get(port) for _ in range(3)] == [b"GET /a\n"] * 3
        for sock in slow:
            sock.close()


def test_a_slow_reader_does_not_hold_up_others() -> None:
    with running(ClientLimits()) as port, connect(port) as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        assert get(port) == b"GET /a\n"


def test_a_whole_big_reply_arrives() -> None:
    with running(ClientLimits()) as port:
        assert len(get(port, "/big")) == 8_000_000


def test_a_client_that_resets_its_connection_harms_nobody() -> None:
    with running(ClientLimits()) as port:
        sock = connect(port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        sock.close()
        assert get(port) == b"GET /a\n"


def test_listens_on_every_address_named() -> None:
    with free_ports(2) as (first, second):
        pass
    sockets = listen(f"127.0.0.1:{first}, 127.0.0.1:{second}")
    assert [sock.getsockname()[1] for sock in sockets] == [first, second]
    for sock in sockets:
        sock.close()


def test_a_port_in_use_is_told_with_the_fix() -> None:
    with free_ports(1) as (port,), pytest.raises(ListenError) as refused:
        listen(f"127.0.0.1:{port}")
    assert str(refused.value) == (
        f"cannot listen on 127.0.0.1:{port}: the port is in use; "
        f"stop its user (see ss -ltnp 'sport = :{port}') or choose another with --listen"
    )


def test_an_address_of_another_host_is_told_with_the_fix() -> None:
    with pytest.raises(ListenError, match="this host has no such address; choose another with --listen"):
        listen("192.0.2.1:9855")


@contextmanager
def free_ports(number: int) -> Iterator[tuple[int, ...]]:
    """Ports that are taken inside the block and free after it."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    yield tuple(sock.getsockname()[1] for sock in sockets)
    for sock in sockets:
        sock.close()
