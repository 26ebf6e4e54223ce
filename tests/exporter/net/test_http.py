"""The HTTP client against real sockets on loopback; each test is over in well under a second."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.exporter.answering import Answering
from tests.ports import free_port
from vllm_exporter.net.http import ClientResponse, Garbled, Origin, Refused, TimedOut, parse_chunk_size, request


class Server:
    """Answers each connection with the same bytes, in pieces, and keeps what it was sent."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received = b""
        self.pieces: list[bytes] = []
        self.pause = 0.0  # seconds before each piece after the first
        self.holds = False  # whether the connection stays open afterwards
        listening = socket.create_server(("127.0.0.1", 0))
        self._server = Answering(self._answer, tls.wrap_socket(listening, server_side=True) if tls else listening)
        self.origin = Origin("127.0.0.1", self._server.port)
        self.close = self._server.close

    def answer(self, *pieces: bytes, pause: float = 0.0) -> Origin:
        self.pieces, self.pause = list(pieces), pause
        return self.origin

    def _answer(self, connection: socket.socket) -> None:
        self.received = connection.recv(65536)
        for number, piece in enumerate(self.pieces):
            if number:
                time.sleep(self.pause)  # a server that is slow
            connection.sendall(piece)
        if self.holds:
            self._server.closing.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


def get(origin: Origin, timeout: float = 2.0, max_body: int = 1000) -> ClientResponse:
    return request(origin, "GET", "/metrics", timeout, max_body=max_body)


def seconds(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def test_reads_a_body_of_a_known_length(server: Server) -> None:
    origin = server.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"lo, and more")
    assert get(origin) == ClientResponse(200, b"hello")


def test_does_not_wait_for_the_connection_to_close_after_a_body_of_a_known_length(server: Server) -> None:
    server.holds = True
    origin = server.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert seconds(lambda: get(origin)) < 0.5


def test_reads_a_chunked_body(server: Server) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    origin = server.answer(head, b"4;x=y\r\nwi", b"ki\r", b"\nA\r\n0123456789\r\n0\r\n\r\n")
    assert get(origin) == ClientResponse(200, b"wiki0123456789")


def test_reads_a_body_up_to_the_end_of_the_connection(server: Server) -> None:
    assert get(server.answer(b"HTTP/1.0 503 Busy\r\n\r\n", b"later")) == ClientResponse(503, b"later")


def test_sends_one_request_that_closes_the_connection(server: Server) -> None:
    origin = server.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    request(origin, "POST", "/v1/completions", 2.0, b"{}", {"User-Agent": "vllm-monitor-canary"})
    assert server.received == (
        b"POST /v1/completions HTTP/1.1\r\n"
        + f"Host: 127.0.0.1:{origin.port}\r\n".encode()
        + b"Connection: close\r\nAccept-Encoding: identity\r\nUser-Agent: vllm-monitor-canary\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_sends_the_key_that_the_file_holds_now(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    port = server.answer(b"HTTP/1.1 204 No Content\r\n\r\n").port
    for key in ("one", "two"):
        file.write_text(key + "\n")
        get(Origin("127.0.0.1", port, api_key_file=str(file)))
        assert f"\r\nAuthorization: Bearer {key}\r\n".encode() in server.received


def test_a_key_that_cannot_be_read_or_would_break_the_request_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Garbled, match="missing cannot be read"):
        get(Origin("127.0.0.1", 1, api_key_file=str(tmp_path / "missing")))
    for text in ("one\r\ntwo", "one two", "", "\n", "one\0"):
        (tmp_path / "two").write_text(text)
        with pytest.raises(Garbled, match="must hold one key"):
            get(Origin("127.0.0.1", 1, api_key_file=str(tmp_path / "two")))


def test_a_port_on_which_nothing_listens_is_refused() -> None:
    port = free_port()
    with pytest.raises(Refused, match=f"GET http://127.0.0.1:{port}/metrics: connection refused"):
        get(Origin("127.0.0.1", port))


def test_a_server_that_accepts_and_says_nothing_times_out(server: Server) -> None:
    server.holds = True
    with pytest.raises(TimedOut, match=r"no answer within 0\.2 s"):
        get(server.answer(), timeout=0.2)


def test_the_deadline_is_for_the_whole_answer_not_for_each_byte(server: Server) -> None:
    origin = server.answer(*[b"x"] * 50, pause=0.05)
    started = time.monotonic()
    with pytest.raises(TimedOut):
        get(origin, timeout=0.3)
    assert time.monotonic() - started < 0.6


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 twohundred\r\n\r\n", "not an HTTP answer"),
        (b"", "closed before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "closed after 5 of 10 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", "longer than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, "longer than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7D0\r\n", "longer than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "closed before"),
    ],
)
def test_says_what_is_wrong_with_an_answer(server: Server, answer: bytes, complaint: str) -> None:
    with pytest.raises(Garbled, match=complaint):
        get(server.answer(answer))


@pytest.mark.parametrize("size", [b"", b"-1", b"0x10", b"1_0", b"g"])
def test_a_chunk_size_is_hexadecimal_digits_only(size: bytes) -> None:
    with pytest.raises(Garbled, match="not a hexadecimal number"):
        parse_chunk_size(size)


def test_a_name_that_is_not_found_is_told_from_a_server_that_refuses() -> None:
    with pytest.raises(Garbled, match=r"cannot look up no-such-host\.invalid"):
        get(Origin("no-such-host.invalid", 8000))


def test_a_name_with_several_addresses_is_tried_until_one_accepts(server: Server) -> None:
    """localhost is ::1 and 127.0.0.1 on many hosts; the server listens on the second only."""
    port = server.answer(b"HTTP/1.1 204 No Content\r\n\r\n").port
    assert get(Origin("localhost", port)).status == 204


def test_a_server_without_tls_is_garbled_for_https(server: Server) -> None:
    port = server.answer(b"HTTP/1.1 200 OK\r\n\r\n").port
    with pytest.raises(Garbled, match=r"https://127\.0\.0\.1"):
        get(Origin("127.0.0.1", port, tls=True))


def test_a_missing_authority_file_is_named(server: Server) -> None:
    with pytest.raises(Garbled, match="ca_file /nowhere cannot be used"):
        get(Origin("127.0.0.1", server.origin.port, tls=True, ca_file="/nowhere"))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_trusts_the_authority_in_the_file_and_no_other(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with closing(Server(context)) as server:
        port = server.answer(b"HTTP/1.1 204 No Content\r\n\r\n").port
        trusting = Origin("127.0.0.1", port, True, str(certificate))
        assert get(trusting).status == 204
        with pytest.raises(Garbled, match="CERTIFICATE_VERIFY_FAILED"):
            get(Origin("127.0.0.1", port, tls=True))
