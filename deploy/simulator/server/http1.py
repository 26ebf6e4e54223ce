"""HTTP/1.1 as text: bytes to a Request, an Answer to bytes. No I/O."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

MAX_HEAD = 64 * 1024  # bytes; what uvicorn accepts by default
MAX_BODY = 16 * 1024 * 1024  # bytes; a prompt of the longest model is far below


class BadRequest(Exception):
    """The bytes are no HTTP request; the connection ends."""


@dataclass(frozen=True)
class HttpRequest:
    """Header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = ""  # host:port of the client

    @property
    def keep_alive(self) -> bool:
        return "close" not in self.headers.get("connection", "").lower()

    def json(self) -> Any:
        """Raises ValueError."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """A reply that is known as a whole, or, with `parts`, one that is sent as it comes."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    parts: AsyncIterator[bytes] | None = None
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value, separators=(",", ":")).encode())


def take_request(buffer: bytearray, peer: str) -> HttpRequest | None:
    """The first request in the buffer, which is removed from it; None while it is incomplete. Raises BadRequest."""
    end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        if len(buffer) >= MAX_HEAD:
            raise BadRequest(f"more than {MAX_HEAD} bytes of headers")
        return None
    line, *rest = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
    body = _body(buffer, end + 4, headers)
    if body is None:
        return None
    method, target = _request_line(line)
    path, _, query = target.partition("?")
    values = {name: found[-1] for name, found in parse_qs(query).items()}
    return HttpRequest(method, path, values, headers, body, peer)


def _request_line(line: str) -> tuple[str, str]:
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        raise BadRequest(f"{line[:80]!r} is no HTTP/1 request line")
    return words[0], words[1]


def _body(buffer: bytearray, start: int, headers: Mapping[str, str]) -> bytes | None:
    """Returns the body and removes it from the buffer; None while it is incomplete."""
    if "transfer-encoding" in headers:
        raise BadRequest("a body in chunks is not read here: send Content-Length")
    text = headers.get("content-length", "0")
    if not text.isdigit() or int(text) > MAX_BODY:
        raise BadRequest(f"Content-Length {text[:20]!r} is no number up to {MAX_BODY}")
    end = start + int(text)
    if len(buffer) < end:
        return None
    body = bytes(buffer[start:end])
    del buffer[:end]
    return body


def head(answer: Answer, keep_alive: bool) -> bytes:
    """Status line and headers, as uvicorn orders them."""
    status = HTTPStatus(answer.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", "server: uvicorn"]
    if answer.parts is None:
        lines.append(f"content-length: {len(answer.body)}")
    else:
        lines.append("transfer-encoding: chunked")
    if answer.body or answer.parts is not None:
        lines.append(f"content-type: {answer.content_type}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if not keep_alive:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


LAST_CHUNK = b"0\r\n\r\n"
