"""One connection to a server, kept open between two looks: a new one each time would double what a look costs."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass

from vllm_exporter.net.http import (
    MAX_BODY,
    MAX_HEAD,
    Garbled,
    Origin,
    Stream,
    authorization,
    build,
    connect,
    explain,
    read_response,
    seconds_left,
    url,
)

KEEP_SECONDS = 4.0  # unused: uvicorn closes after 5 s by default, and a request in that very moment would be lost
ROOM = 96 * 1024  # bytes; /metrics of one engine has 50 kB. What is longer takes the general way
SLACK = 0.1  # seconds a read may go past the deadline; setting a shorter one each time costs a system call


@dataclass(frozen=True)
class Page:
    """An answer where it was read to: the body is room[start:end], until the next request. Before it stands a line
    break."""

    status: int
    room: bytearray
    start: int
    end: int


class Kept:
    """For GET only: one that a kept connection did not answer at all is sent again on a new one.

    Nothing is copied: 50 kB of new memory each second would cost more than reading into the old.
    """

    def __init__(self, origin: Origin, headers: Mapping[str, str] | None = None) -> None:
        self._origin = origin
        self._headers = dict(headers or {})
        self._messages: dict[str, bytes] = {}
        self._room = bytearray(ROOM)
        self._view = memoryview(self._room)
        self._socket: socket.socket | None = None
        self._allowed = 0.0  # the socket's time-out, in seconds
        self._used_at = 0.0

    def get(self, path: str, timeout: float) -> Page:
        """The whole answer, within `timeout` seconds from now. Raises RequestFailed."""
        deadline = time.monotonic() + timeout
        try:
            return self._get(path, deadline)
        except (OSError, Garbled) as error:
            self.close()
            late = isinstance(error, BlockingIOError)  # what a blocking socket says when its time is over
            raise explain(TimeoutError() if late else error, f"GET {url(self._origin, path)}", timeout) from None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _get(self, path: str, deadline: float) -> Page:
        message = self._message(path)
        if self._socket is not None and time.monotonic() - self._used_at < KEEP_SECONDS:
            try:
                self._allow(self._socket, deadline)
                self._socket.sendall(message)
                size = self._socket.recv_into(self._room)
            except ConnectionError:
                size = 0
            if size:
                return self._read(self._socket, size, deadline)
        self.close()
        self._socket = connect(self._origin, deadline)
        self._allowed = 0.0
        self._allow(self._socket, deadline)
        self._socket.sendall(message)
        return self._read(self._socket, 0, deadline)

    def _read(self, connection: socket.socket, size: int, deadline: float) -> Page:
        """`size` bytes of the answer are in the room already."""
        while (end := self._room.find(b"\r\n\r\n", 0, size)) < 0:
            if size >= MAX_HEAD:
                raise Garbled(f"no end of the headers within {MAX_HEAD} bytes; is this an HTTP server?")
            size += self._more(connection, size, MAX_HEAD, deadline)
        frame = parse_frame(bytes(self._view[:end]))
        if frame is None or end + 4 + frame[1] > ROOM:
            return self._read_and_close(connection, size, deadline)
        status, length = frame
        start, whole = end + 4, end + 4 + length
        while size < whole:
            size += self._more(connection, size, whole, deadline)
        if size > whole:
            self.close()  # more than was asked for: what comes next cannot be trusted
        self._used_at = time.monotonic()
        return Page(status, self._room, start, whole)

    def _read_and_close(self, connection: socket.socket, size: int, deadline: float) -> Page:
        """An answer in chunks, of unknown or of great length, or the last on this connection."""
        connection.setblocking(True)
        answer = read_response(Stream(connection, deadline, bytes(self._view[:size])), MAX_BODY)
        self.close()
        return Page(answer.status, bytearray(b"\n" + answer.body), 1, 1 + len(answer.body))

    def _more(self, connection: socket.socket, size: int, whole: int, deadline: float) -> int:
        """Up to `whole` bytes in one call, where the kernel can wait for them; TLS cannot."""
        self._allow(connection, deadline)
        flags = 0 if self._origin.tls or whole == MAX_HEAD else socket.MSG_WAITALL
        got = connection.recv_into(self._view[size:whole], 0, flags)
        if not got:
            raise Garbled("the connection closed before the answer was complete")
        return got

    def _allow(self, connection: socket.socket, deadline: float) -> None:
        """Sets the time-out of the socket to what is left, unless it is about that already.

        The kernel's own one: Python's would ask by poll() before each read, 30 µs of a look.
        """
        left = seconds_left(deadline)
        if left <= self._allowed + SLACK <= left + 2 * SLACK:
            return
        self._allowed = left
        if self._origin.tls:
            connection.settimeout(left)
            return
        connection.settimeout(None)
        pair = struct.pack("ll", int(left), int(left % 1 * 1e6) or 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pair)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pair)

    def _message(self, path: str) -> bytes:
        """Made once, unless there is a key, which may change."""
        message = self._messages.get(path)
        if message is None:
            headers = {**authorization(self._origin.api_key_file), **self._headers}
            message = build("GET", path, str(self._origin), headers, keep=True)
            if not self._origin.api_key_file:
                self._messages[path] = message
        return message


def parse_frame(head: bytes) -> tuple[int, int] | None:
    """Status and length of the body of an answer after which the connection stays open; None for any other head."""
    head = head.lower() + b"\r\n"
    at = head.find(b"\r\ncontent-length:")
    length = head[at + 17 : head.find(b"\r\n", at + 2)].strip()
    if not head.startswith(b"http/1.1 ") or not head[9:12].isdigit() or at < 0 or not length.isdigit():
        return None
    if b"\r\nconnection: close" in head or b"\r\ntransfer-encoding:" in head or head[9:12] in (b"204", b"304"):
        return None
    return int(head[9:12]), int(length)
