"""A connection of http.client with one deadline and a limit on what is read, whoever reads from it.

http.client's own timeout is for each read: a server that sends a byte a second would hold the caller for ever, and one
that never ends would take all memory.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vllm_healer.net.dns import Address, lookup
from vllm_healer.net.tls import wrap

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAX_HEAD = 64 * 1024  # bytes of status and headers; uvicorn sends about 200

Opener = Callable[[float], socket.socket]  # opens a socket, given the deadline


class TooLarge(OSError):
    """The answer is larger than its reader takes; OSError, since http.client passes those on as they are."""


class BoundedConnection(http.client.HTTPConnection):
    """One connection, opened by `opener` at the first request.

    From then on each wait ends `timeout` seconds after the opening began, with TimeoutError; more than `limit` bytes of
    body end in TooLarge.
    """

    def __init__(self, host: str, timeout: float, limit: int, opener: Opener) -> None:
        super().__init__(host)
        self._seconds = timeout
        self._limit = limit
        self._opener = opener

    def connect(self) -> None:
        deadline = time.monotonic() + self._seconds
        self.sock = _Timed(self._opener(deadline), deadline, self._limit + MAX_HEAD)


class _Timed:
    """A socket as far as http.client uses one."""

    def __init__(self, connected: socket.socket, deadline: float, limit: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._limit = limit

    def sendall(self, data: ReadableBuffer) -> None:
        self._socket.settimeout(seconds_left(self._deadline))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._deadline, self._limit))

    def close(self) -> None:
        self._socket.close()


class _Reader(io.RawIOBase):
    """The bytes that come over a socket. The socket stays open until this is closed too, as with its own makefile."""

    def __init__(self, connected: socket.socket, deadline: float, limit: int) -> None:
        super().__init__()
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._socket.settimeout(seconds_left(self._deadline))
        count = self._raw.readinto(buffer) or 0
        self._left -= count
        if self._left < 0:
            raise TooLarge("the answer is too large")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def open_tcp(host: str, port: int, tls: bool, ca_file: str, deadline: float) -> socket.socket:
    """A connected socket, with TLS if so wanted. Raises OSError, of which TimeoutError at the deadline."""
    connected = _connect_any(lookup(host, port, deadline), deadline)
    if not tls:
        return connected
    try:
        connected.settimeout(seconds_left(deadline))
        return wrap(connected, host, ca_file)
    except BaseException:
        connected.close()
        raise


def open_unix(path: str, deadline: float) -> socket.socket:
    """A socket connected to that path. Raises OSError."""
    return _connect(socket.AF_UNIX, path, seconds_left(deadline))


def seconds_left(deadline: float) -> float:
    """Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _connect_any(addresses: Sequence[Address], deadline: float) -> socket.socket:
    """Tries one address after the other, each for its share of the time: the first may lead nowhere.

    Of several failures, silence counts more than a refusal: localhost may refuse by IPv6 and hang by IPv4.
    """
    failures: list[OSError] = []
    for number, (family, address) in enumerate(addresses):
        try:
            return _connect(family, address, seconds_left(deadline) / (len(addresses) - number))
        except OSError as error:
            failures.append(error)
    for kind in (TimeoutError, ConnectionRefusedError, OSError):
        for failure in failures:
            if isinstance(failure, kind):
                raise failure
    raise OSError("the name has no address")


def _connect(family: socket.AddressFamily, address: object, seconds: float) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(seconds)
        made.connect(address)  # type: ignore[arg-type]
    except BaseException:
        made.close()
        raise
    return made
