"""Follows the log of a container through the Docker engine's socket. It only reads, but the socket allows everything.

Where that is too much, read the engine's file instead: /var/lib/docker/containers/<id>/<id>-json.log.
"""

from __future__ import annotations

import calendar
import json
import socket
import time
from dataclasses import dataclass
from functools import lru_cache

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.net.http import Garbled, parse_head
from vllm_exporter.subjects.logs.source import BUSY, MAX_LINE, MAX_READ, Batch, LineCutter, Position, RawLine

SOCKET = "/var/run/docker.sock"
TIMEOUT = 2.0  # seconds to connect and to get an answer; afterwards nothing waits
AGAIN = 5.0  # seconds before a log that ended is requested again: the container stopped
MAX_ANSWER = 1024 * 1024  # bytes
STAMP = 30  # bytes of '2026-11-21T15:04:00.123456789Z'


@dataclass(frozen=True)
class LogContainer:
    """The engine's description of a container."""

    id: str
    tty: bool  # then its log is plain text, else frames


class LogDocker:
    """One container, by name or id. The time of the last line is the position."""

    def __init__(self, name: str, position: Position, clock: Clock, path: str = SOCKET) -> None:
        self._name = name
        self._path = path.removeprefix("unix://")
        self._clock = clock
        self._begun = clock.wall()  # a container that is made later is read from its start
        self._last = str(position.get("last", ""))
        self._connection: socket.socket | None = None
        self._container = LogContainer("", False)
        self._resumed = self._last  # lines up to this time are known
        self._frames = b""
        self._cutters: dict[int, LineCutter] = {}
        self._due = 0.0
        self._problem: NoData | SourceError = SourceError("not read yet")

    def read(self) -> Batch:
        """Returns new lines. Raises NoData without such a container, SourceError while the engine does not answer."""
        waiting = 0
        if self._connection is None:
            self._connect()
        else:
            waiting = len(self._frames)
        data, ended = self._pull()
        live = ended or len(data) - waiting < BUSY
        try:
            lines = self._lines(data)
        except SourceError:
            self.close()
            raise
        if ended:
            self.close()
            self._problem = NoData(f"docker: the log of {self._name} ended; it is requested again")
            self._due = self._clock.monotonic() + AGAIN
        cut = sum(cutter.take_cut() for cutter in self._cutters.values())
        return Batch(tuple(lines), live, cut)

    def position(self) -> Position:
        return {"last": self._last} if self._last else {}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        if self._clock.monotonic() < self._due:
            raise self._problem
        try:
            self._container = self._inspect()
            self._connection = self._follow()
        except (NoData, SourceError) as error:
            self._problem = error
            self._due = self._clock.monotonic() + AGAIN
            raise
        except OSError as error:
            self._problem = SourceError(f"docker: {self._path}: {error.strerror or error}")
            self._due = self._clock.monotonic() + AGAIN
            raise self._problem from None

    def _inspect(self) -> LogContainer:
        with self._ask(f"/containers/{self._name}/json") as connection:
            body = self._head(connection)
            while chunk := connection.recv(MAX_READ):
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise SourceError(f"docker: the answer about {self._name} is longer than {MAX_ANSWER} bytes")
        return parse_container(body)

    def _follow(self) -> socket.socket:
        """Requests the log from the last line on, or from the exporter's start."""
        since = f"{parse_time(self._last.encode()):.9f}" if self._last else f"{self._begun:.9f}"
        query = f"follow=1&stdout=1&stderr=1&timestamps=1&since={since}"
        connection = self._ask(f"/containers/{self._container.id}/logs?{query}")
        try:
            self._frames, self._cutters, self._resumed = self._head(connection), {}, self._last
        except (NoData, SourceError, OSError):
            connection.close()
            raise
        connection.setblocking(False)
        return connection

    def _ask(self, path: str) -> socket.socket:
        """Sends a request in HTTP/1.0: the answer is not cut into chunks, and ends with the connection."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(self._path)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        except OSError:
            connection.close()
            raise
        return connection

    def _head(self, connection: socket.socket) -> bytes:
        """Reads the head of an answer; returns the part of the body that arrived with it."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk or len(data) > MAX_ANSWER:
                raise SourceError("docker: the engine's socket does not answer in HTTP")
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        try:
            status, _ = parse_head(head)
        except Garbled as error:
            raise SourceError(f"docker: {error}") from None
        if status == 404:
            raise NoData(f"docker has no container {self._name!r}")
        if status != 200:
            raise SourceError(f"docker: status {status} for {self._name!r}: {body[:120].decode('utf-8', 'replace')}")
        return body

    def _pull(self) -> tuple[bytes, bool]:
        """Returns new bytes, and True if the log ended."""
        data, self._frames = self._frames, b""
        limit = len(data) + MAX_READ  # a frame may be longer than one reading
        while len(data) < limit and self._connection is not None:
            try:
                chunk = self._connection.recv(limit - len(data))
            except BlockingIOError:
                return data, False
            except OSError:
                return data, True
            if not chunk:
                return data, True
            data += chunk
        return data, False

    def _lines(self, data: bytes) -> list[RawLine]:
        if self._container.tty:
            parts = [(0, data)]
        else:
            parts, self._frames = split_frames(data)
        lines = []
        for stream, text in parts:
            for line in self._cutters.setdefault(stream, LineCutter()).feed(text):
                stamp, text_of_line = line[:STAMP], line[STAMP + 1 :]
                at = parse_time(stamp)
                if at and stamp.decode() > self._resumed:  # the engine repeats the last line
                    self._last = max(self._last, stamp.decode())
                    lines.append(RawLine(text_of_line, at))
        return lines


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Returns (stream, text) of each whole frame, and the rest: a frame has 8 bytes in front, the last 4 its length.

    Raises SourceError when it is no frame.
    """
    frames, at = [], 0
    while len(data) - at >= 8:
        stream, length = data[at], int.from_bytes(data[at + 4 : at + 8], "big")
        if stream > 2 or length > 16 * MAX_LINE:
            raise SourceError("docker: the log is not in frames")
        if len(data) - at - 8 < length:
            break
        frames.append((stream, data[at + 8 : at + 8 + length]))
        at += 8 + length
    return frames, data[at:]


def parse_container(body: bytes) -> LogContainer:
    """Parses the engine's answer. Raises SourceError when it is not as documented."""
    try:
        data = json.loads(body)
        return LogContainer(str(data["Id"]), bool(data["Config"]["Tty"]))
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"docker: not a description of a container: {type(error).__name__} {error}") from None


def parse_time(stamp: bytes) -> float:
    """Returns the Unix time of '2026-11-21T15:04:00.123456789Z'; 0 when it is no time."""
    try:
        return _seconds(stamp[:19]) + float(b"0" + stamp[19:29])
    except ValueError:
        return 0.0


@lru_cache(maxsize=4)
def _seconds(stamp: bytes) -> int:
    """Returns Unix time; cached, since many lines share a second and this is the slowest part. Raises ValueError."""
    return calendar.timegm(time.strptime(stamp.decode("ascii"), "%Y-%m-%dT%H:%M:%S"))
