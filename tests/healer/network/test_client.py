"""The client against servers that are hostile or broken: it ends in time, takes no memory, and says what it was."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.net.client import Garbled, HttpAnswer, NoRoute, Refused, TimedOut, Unsendable, request

OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 100_000
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers each connection with these pieces, `each` seconds apart, and returns its URL.

    After the pieces it closes, unless they are to stay open.
    """
    ended = threading.Event()
    listening: list[socket.socket] = []

    def start(pieces: Iterable[bytes], each: float = 0.0, stay: bool = False) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def run() -> None:
            connection = listener.accept()[0]
            with connection:
                try:
                    connection.recv(65536)
                    for piece in pieces:
                        connection.sendall(piece)
                        if ended.wait(each):
                            return
                    if stay:
                        ended.wait(30)
                except OSError:
                    pass

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"

    yield start
    ended.set()
    for listener in listening:
        listener.close()


def get(url: str, timeout: float = 5.0) -> HttpAnswer:
    return request("GET", url, timeout, limit=LIMIT)


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 4\r\n\r\nbody",
        b"\r\nbody",
        b"Content-Encoding: \r\n\r\nbody",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\nX: y\r\n\r\n",
    ],
    ids=["length", "until closed", "no encoding", "chunks"],
)
def test_reads_a_whole_answer(serve: Serve, answer: bytes) -> None:
    assert get(serve([OK, answer])).body == b"body"


def test_a_body_of_just_the_limit_is_taken(serve: Serve) -> None:
    head = b"Content-Length: %d\r\n\r\n" % LIMIT
    assert len(get(serve([OK, head, b"x" * LIMIT])).body) == LIMIT


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (chain([OK, b"\r\n"], repeat(b"vllm:x 1\n" * 8192)), "more than the 100000 bytes that are taken"),
        (
            chain([OK, b"Transfer-Encoding: chunked\r\n\r\n"], repeat(b"1000\r\n" + b"#" * 4096 + b"\r\n")),
            "more than the 100000 bytes that are taken",
        ),
        (
            [OK, b"Content-Length: 99999999999999\r\n\r\n"],
            "it announces 99999999999999 bytes, of which 100000 are taken",
        ),
        (chain([OK], repeat(b"X: y\r\n")), "HTTPException got more than 100 headers"),
        (chain([OK], repeat(b"X" * 65536)), "LineTooLong"),
        (repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 4096), "the answer is too large"),
        ([OK, b"Content-Length: 9\r\n\r\nbody"], "the answer was cut short"),
        ([OK, b"Content-Length: 9\r\n\r\n"], "the answer was cut short"),
        ([OK, b"Transfer-Encoding: chunked\r\n\r\n9\r\nbody"], "the answer was cut short"),
        ([OK, b"Transfer-Encoding: chunked\r\n\r\n-5\r\nbody\r\n"], "read length must be non-negative"),
        ([OK, b"Transfer-Encoding: chunked\r\n\r\nsoon\r\n"], "the answer was cut short"),
        (
            [OK, b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"\0" * 10**6)],
            "it compressed what was asked for as it is",
        ),
        ([b"\x1b[2JSSH-2.0\r\n"], r"BadStatusLine \\x1b\[2JSSH-2.0"),
        ([], "without response"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_answer_is_named_in_printable_words(serve: Serve, pieces: Iterable[bytes], message: str) -> None:
    with pytest.raises(Garbled, match=rf"^did not answer: .*{message}") as caught:
        get(serve(pieces, stay=b"99999999999999" in b"".join(pieces) if isinstance(pieces, list) else False))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        repeat(b"H"),
        chain([OK], repeat(b"X")),
        chain([OK, b"Content-Length: 90000\r\n\r\n"], repeat(b"#")),
        chain([OK, b"\r\n"], repeat(b"#")),
        chain([OK, b"Transfer-Encoding: chunked\r\n\r\n"], repeat(b"1\r\n#\r\n")),
        repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "status", "header", "body", "endless body", "chunks", "continue"],
)
def test_what_trickles_ends_at_the_deadline(serve: Serve, pieces: Iterable[bytes]) -> None:
    with pytest.raises(TimedOut, match=r"^did not answer within 0\.3 s$"):
        get(serve(pieces, each=0.02, stay=True), timeout=0.3)


def test_a_tls_handshake_that_trickles_ends_at_the_deadline(serve: Serve) -> None:
    url = serve(chain([b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"], repeat(b"\x03")), each=0.02, stay=True)
    with pytest.raises(TimedOut, match=r"^did not answer within 0\.3 s$"):
        get(url.replace("http://", "https://"), timeout=0.3)


def test_a_name_that_is_looked_up_for_ever_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ended = threading.Event()

    def never(host: str, *arguments: object, **options: object) -> list[object]:
        asked.append(host)
        ended.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    for _ in range(3):
        with pytest.raises(TimedOut):
            get("http://nowhere.example:8000/", timeout=0.05)
    ended.set()
    assert asked == ["nowhere.example"]  # one thread, however often it is asked


@pytest.mark.parametrize("host", ["a" * 70, "x..y", "no-such-host.invalid"])
def test_a_host_that_cannot_be_found_is_named(host: str) -> None:
    with pytest.raises((NoRoute, Unsendable)):
        get(f"http://{host}:8000/")


def test_a_closed_port_is_refused(nobody: str) -> None:
    with pytest.raises(Refused, match=r"^did not answer: Connection refused$"):
        get(nobody)


def test_silence_by_one_address_counts_more_than_a_refusal_by_another(
    serve: Serve, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:  # its queue is full, so that it answers nobody, as a server that hangs
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    places = [("127.0.0.1", int(nobody.rpartition(":")[2])), full.getsockname()]
    for order in (places, places[::-1]):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in order]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, found=found, **k: found)
        with pytest.raises(TimedOut):
            get("http://two.example:8000/", timeout=0.4)
    for one in (*waiting, full):
        one.close()


def test_it_is_asked_for_the_page_as_it_is_and_sent_nowhere_else(serve: Serve) -> None:
    moved = [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/key\r\nContent-Length: 6\r\n\r\nsecret"]
    answer = get(serve(moved))
    assert answer.words == "HTTP 302, a redirect, and none is followed"


def test_says_what_it_takes(server: Any, http: ModuleType) -> None:
    server.say("/p", http.Reply(200, b"fine"))
    assert request("POST", f"{server.url}/p?q=1 2", 5.0, [("X-A", "1"), ("X-B", "2")], b"body").body == b"fine"
    (asked,) = server.requests
    assert (asked.method, asked.path, asked.body) == ("POST", "/p?q=1%202", b"body")
    wanted = {
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "vllm-healer",
        "X-A": "1",
        "X-B": "2",
        "Content-Length": "4",
    }
    assert wanted.items() <= asked.headers.items()
    assert asked.headers["Host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("body", [b"[" * 900_000, b"9" * 5000, b"\xff", b"", b"{", b'"\\ud800'])
def test_what_is_no_usable_json_is_none(body: bytes) -> None:
    assert HttpAnswer(200, body).json() is None


def test_an_answer_is_repeated_in_short_and_printable_words() -> None:
    words = HttpAnswer(500, b"\x1b[31m\r\n\xff" + b"x" * 5000).words
    assert words.startswith("HTTP 500: '\\x1b[31m\\r\\n\ufffdxxx")
    assert words.isprintable()
    assert len(words) < 250
