"""HTTP over a unix socket, always with a timeout: how supervisord and Docker listen on their own host."""

from __future__ import annotations

import http.client
import socket

SCHEME = "unix://"


class UnixConnection(http.client.HTTPConnection):
    """A connection to a socket's path; `timeout` is in seconds and holds for each wait."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
