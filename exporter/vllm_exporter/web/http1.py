"""Parses and encodes HTTP/1.1: bytes to a Request, a Response to bytes. No I/O.

It has what a scraper and a browser need: no request bodies, no chunks. http.server would cost 8 MiB of memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

MAX_LINE = 4096  # bytes of the request line
MAX_HEAD = 16384  # bytes of request line and headers; a browser with cookies of other local services sends a few KiB

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.([01])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    414: "URI Too Long",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class BadRequest(Exception):
    """The bytes are no request that can be answered; the connection ends after the reply with `status`."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request; header names are lower case."""

    method: str
    path: str  # without the query
    headers: dict[str, str] = field(default_factory=dict)
    version: str = "1.1"

    @cached_property
    def keep_alive(self) -> bool:
        """True if the connection may serve another request. False after a body, which is never read."""
        if self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers:
            return False
        connection = self.headers.get("connection", "").lower()
        return "close" not in connection if self.version == "1.1" else "keep-alive" in connection

    @cached_property
    def accepts_gzip(self) -> bool:
        return accepts_gzip(self.headers.get("accept-encoding", ""))

    @cached_property
    def accepts_openmetrics(self) -> bool:
        """True if Accept lists OpenMetrics 1.0.0; scrapers that list it prefer it."""
        accept = self.headers.get("accept", "")
        return "application/openmetrics-text" in accept and "version=1.0.0" in accept


@dataclass(frozen=True)
class Response:
    """A reply; Content-Length and Connection are added when it is encoded."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def parse_request(data: bytes) -> tuple[Request, bytes] | None:
    """Returns the first request and the bytes after it; None when it is not complete yet. Raises BadRequest."""
    end = _END_OF_HEAD.search(data, 0, MAX_HEAD + 4)
    if end is None:
        _refuse_hopeless(data)
        return None
    return parse_head(data[: end.start()]), data[end.end() :]


@lru_cache(maxsize=8)  # a scraper sends the same each time
def parse_head(data: bytes) -> Request:
    """Parses request line and headers, without the empty line. Raises BadRequest."""
    line, *lines = data.decode("latin-1").replace("\r\n", "\n").split("\n")
    if len(line) > MAX_LINE:
        raise BadRequest(414, f"the request line is longer than {MAX_LINE} bytes")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest(400, "the first line is not an HTTP/1 request")
    method, target, minor = match.groups()
    path = target.partition("?")[0]
    return Request(method, path, dict(map(_parse_header, lines)), f"1.{minor}")


def encode(response: Response, *, head_only: bool = False, keep_alive: bool = True) -> bytes:
    """Returns the reply as bytes; to HEAD it is the same without the body."""
    headers = (
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        *response.headers,
        ("Connection", "keep-alive" if keep_alive else "close"),
    )
    head = f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers)
    return head.encode("latin-1") + b"\r\n" + (b"" if head_only else response.body)


def accepts_gzip(accept_encoding: str) -> bool:
    """True if the header allows gzip: named (or `*`) and not with q=0."""
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip() in ("gzip", "*"):
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    return False


def _refuse_hopeless(data: bytes) -> None:
    """Raises BadRequest for an incomplete request that no further byte can mend: now, not at the timeout."""
    if len(data) > MAX_HEAD:
        raise BadRequest(431, f"the headers are longer than {MAX_HEAD} bytes")
    if len(data) > MAX_LINE and b"\n" not in data[: MAX_LINE + 2]:
        raise BadRequest(414, f"the request line is longer than {MAX_LINE} bytes")
    if data and not data[:1].isupper():
        raise BadRequest(400, "the first line is not an HTTP/1 request")


def _parse_header(line: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(line)
    if match is None:
        raise BadRequest(400, f"not a header: {line[:60]!r}")
    return match[1].lower(), match[2]
