"""A small HTTP/1.1 client: one request per connection, one deadline for all of it. keep_alive.py keeps one open.

http.client alone would cost 7 MiB of memory, and its time-out is per read: a server that sends a byte a second would
hold the caller for ever.

RequestFailed (a SourceError)
├── Refused    nothing listens there: the server is not running
├── TimedOut   no full answer before the deadline: saturated, hung, or a firewall
└── Garbled    anything else: name not found, connection reset, TLS refused, not HTTP, cut, too long
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vllm_exporter.errors import SourceError
from vllm_exporter.net.dns import lookup
from vllm_exporter.net.tls import wrap

MAX_HEAD = 64 * 1024  # bytes; uvicorn sends about 200
MAX_BODY = 8 * 1024 * 1024  # bytes; /metrics of a large deployment has been seen with 85 kB
CHUNK = 65536  # bytes a read
MAX_DIGITS = 18  # of Content-Length; Python refuses to read thousands of them

Heard = Callable[[bytes], None]


class RequestFailed(SourceError):
    """No usable answer."""


class Refused(RequestFailed):
    """Nothing listens there."""


class TimedOut(RequestFailed):
    """No full answer before the deadline."""


class Garbled(RequestFailed):
    """Any other failure."""


@dataclass(frozen=True)
class Origin:
    """The place of a server, and how to speak to it."""

    host: str  # without brackets
    port: int
    tls: bool = False
    ca_file: str = ""  # '' means the system's authorities
    api_key_file: str = ""  # read at each request, so that a rotated key needs no restart
    monitor_token_file: str = ""  # the same; for paths that the part inside vLLM guards

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class ClientResponse:
    """A full answer, whatever its status."""

    status: int
    body: bytes
    keeps: bool = False  # the connection can take another request
    encoding: str = ""  # of the body, such as gzip; '' as it was asked for
    whole: bool = field(
        default=True, compare=False
    )  # False if only the end of the connection says where the body ends: it may be cut


def request(
    origin: Origin,
    method: str,
    path: str,
    timeout: float,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    max_body: int = MAX_BODY,
    heard: Heard | None = None,
) -> ClientResponse:
    """Sends one request and reads the whole answer, within `timeout` seconds from now. Raises RequestFailed.

    `heard` is called with each chunk of a streamed body as it arrives.
    """
    deadline = time.monotonic() + timeout
    message = build(method, path, str(origin), {**authorization(origin.api_key_file), **(headers or {})}, body)
    try:
        with connect(origin, deadline) as connection:
            connection.settimeout(seconds_left(deadline))
            connection.sendall(message)
            return read_response(Stream(connection, deadline), max_body, heard)
    except (OSError, Garbled) as error:
        raise explain(error, f"{method} {url(origin, path)}", timeout) from None


def explain(error: OSError | Garbled, what: str, timeout: float) -> RequestFailed:
    """Returns the error for a failed request; its message begins with `what`."""
    if isinstance(error, ConnectionRefusedError):
        return Refused(f"{what}: connection refused")
    if isinstance(error, TimeoutError):
        return TimedOut(f"{what}: no answer within {timeout:g} s")
    if isinstance(error, OSError):  # also ssl.SSLError and a name that is not found
        return Garbled(f"{what}: {error.strerror or error}")
    return Garbled(f"{what}: {error}")


def url(origin: Origin, path: str) -> str:
    return f"{'https' if origin.tls else 'http'}://{origin}{path}"


def build(
    method: str, path: str, host: str, headers: Mapping[str, str], body: bytes = b"", keep: bool = False
) -> bytes:
    """Returns the request as bytes; `keep` asks that the connection stays open."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *([] if keep else ["Connection: close"])]
    lines += ["Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


class Stream:
    """Reads bytes of a connection up to a deadline. Raises Garbled when it ends too early."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = bytearray()

    @property
    def empty(self) -> bool:
        """True if nothing was received beyond the bytes that were taken."""
        return not self._buffer

    def begins(self) -> bool:
        """True once a first byte is there; False when the connection was closed before it."""
        try:
            return self._more()
        except ConnectionError:
            return False

    def until(self, separator: bytes, limit: int) -> bytes:
        """Returns the bytes before the separator, which is dropped."""
        while (end := self._buffer.find(separator)) < 0:
            if len(self._buffer) > limit:
                raise Garbled(f"no end of line within {limit} bytes; is this an HTTP server?")
            if not self._more():
                raise Garbled("the connection closed before the answer was complete")
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + len(separator)]
        return taken

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                raise Garbled(f"the connection closed after {len(self._buffer)} of {size} bytes")
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def rest(self, limit: int) -> bytes:
        _check_size(len(self._buffer), limit)
        while self._more():
            _check_size(len(self._buffer), limit)
        return bytes(self._buffer)

    def _more(self) -> bool:
        self._connection.settimeout(seconds_left(self._deadline))
        data = self._connection.recv(CHUNK)
        self._buffer += data
        return bool(data)


def read_response(stream: Stream, max_body: int = MAX_BODY, heard: Heard | None = None) -> ClientResponse:
    """Reads an answer. Raises Garbled when it is not HTTP, is cut, or has a body of more than `max_body` bytes."""
    status, headers = parse_head(stream.until(b"\r\n\r\n", MAX_HEAD))
    keeps = headers.get(b"connection", b"").lower() != b"close"
    encoding = headers.get(b"content-encoding", b"").decode("ascii", "replace").lower().removeprefix("identity")
    if status in (204, 304):
        return ClientResponse(status, b"", keeps)
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return ClientResponse(status, _read_chunks(stream, max_body, heard), encoding=encoding)
    length = headers.get(b"content-length")
    if length is None:
        return ClientResponse(status, stream.rest(max_body), encoding=encoding, whole=False)
    if not length.isdigit() or len(length) > MAX_DIGITS:
        raise Garbled(f"Content-Length is {length[:40]!r}, not a number")
    _check_size(int(length), max_body)
    return ClientResponse(status, stream.exactly(int(length)), keeps and stream.empty, encoding)


def parse_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Returns status and headers, their names in lower case. Raises Garbled when it is not HTTP."""
    first, *lines = head.split(b"\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not (words[1].isdigit() and len(words[1]) == 3):
        raise Garbled(f"not an HTTP answer: {first[:60]!r}")
    pairs = (line.partition(b":") for line in lines)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def parse_chunk_size(line: bytes) -> int:
    """Reads a hexadecimal number, else raises Garbled; int() alone would accept signs and underscores too."""
    text = line.partition(b";")[0].strip().lower()
    if not text or text.strip(b"0123456789abcdef"):
        raise Garbled(f"a chunk's size is {text[:40]!r}, not a hexadecimal number")
    return int(text, 16)


def _read_chunks(stream: Stream, limit: int, heard: Heard | None) -> bytes:
    body = bytearray()
    while True:
        size = parse_chunk_size(stream.until(b"\r\n", MAX_HEAD))
        if size == 0:
            return bytes(body)  # trailers may follow; the connection closes anyway
        _check_size(len(body) + size, limit)
        piece = stream.exactly(size)
        if heard is not None:
            heard(piece)
        body += piece
        if stream.exactly(2) != b"\r\n":
            raise Garbled("a chunk is longer than it says")


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise Garbled(f"the answer is longer than {limit} bytes")


def connect(origin: Origin, deadline: float) -> socket.socket:
    """Connects to the first of the host's addresses that accepts. A refusal by one outweighs other errors."""
    failure: OSError | None = None
    for family, address in lookup(origin.host, origin.port, deadline):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds_left(deadline))
            connection.connect(address)
            return wrap(connection, origin.host, origin.ca_file) if origin.tls else connection
        except OSError as error:
            connection.close()
            if not isinstance(failure, ConnectionRefusedError):
                failure = error
    raise failure or OSError(f"{origin.host} has no address")


def seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def authorization(api_key_file: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {_read_key(api_key_file, 'api_key_file')}"} if api_key_file else {}


def monitor_token(token_file: str) -> dict[str, str]:
    """Returns the header that opens what the part inside vLLM guards. Raises Garbled."""
    return {"X-Vllm-Monitor-Token": _read_key(token_file, "monitor_token_file")} if token_file else {}


def _read_key(path: str, what: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Garbled(f"{what} {path} cannot be read: {error}; correct the path or its rights") from None
    if not key or not key.isprintable() or " " in key:
        raise Garbled(f"{what} {path} must hold one key on one line")
    return key
