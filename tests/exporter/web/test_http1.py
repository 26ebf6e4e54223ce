from __future__ import annotations

import pytest

from vllm_exporter.web.http1 import BadRequest, Request, Response, accepts_gzip, encode, parse_request


def test_parses_a_request_and_returns_what_follows() -> None:
    parsed = parse_request(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a:1\r\nAccept-Encoding:  gzip \r\n\r\nGET /next")
    assert parsed == (Request("GET", "/metrics", {"host": "a:1", "accept-encoding": "gzip"}), b"GET /next")


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r"])
def test_waits_for_the_rest_of_a_request(data: bytes) -> None:
    assert parse_request(data) is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400),  # a TLS greeting
        (b"nonsense", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET /" + b"a" * 5000, 414),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 17000, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 17000 + b"\r\n\r\n", 431),
    ],
)
def test_refuses_what_is_no_request_or_too_long(data: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_request(data)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("version", "headers", "expected"),
    [
        ("1.1", {}, True),
        ("1.1", {"connection": "Close"}, False),
        ("1.0", {}, False),
        ("1.0", {"connection": "keep-alive"}, True),
        ("1.1", {"content-length": "0"}, True),
        ("1.1", {"content-length": "5"}, False),
        ("1.1", {"transfer-encoding": "chunked"}, False),
    ],
)
def test_knows_whether_the_connection_goes_on(version: str, headers: dict[str, str], expected: bool) -> None:
    assert Request("GET", "/", headers, version).keep_alive is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("xgzip", False),
    ],
)
def test_knows_whether_gzip_is_accepted(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


def test_encodes_a_reply() -> None:
    assert encode(Response(200, b"ok\n", headers=(("Vary", "Accept-Encoding"),))) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
        b"Vary: Accept-Encoding\r\nConnection: keep-alive\r\n\r\nok\n"
    )


def test_the_reply_to_head_has_the_length_but_not_the_body() -> None:
    data = encode(Response(404, b"no\n"), head_only=True, keep_alive=False)
    assert data.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"Content-Length: 3\r\n" in data
    assert data.endswith(b"Connection: close\r\n\r\n")
