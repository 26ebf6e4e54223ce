"""Keeps one connection to a server open between two probes: a new one each time would double their cost."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from vllm_exporter.net.http import (
    ClientResponse,
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

KEEP_SECONDS = 4.0  # of idle time: uvicorn closes after 5 s by default, and a request at that moment would be lost


class KeptConnection:
    """Sends GET requests only: one that a kept connection did not answer at all is repeated on a new one."""

    def __init__(self, origin: Origin, headers: Mapping[str, str] | None = None) -> None:
        self._origin = origin
        self._headers = dict(headers or {})
        self._socket: socket.socket | None = None
        self._used_at = 0.0

    def get(self, path: str, timeout: float) -> ClientResponse:
        """Returns the whole answer, within `timeout` seconds from now. Raises RequestFailed."""
        deadline = time.monotonic() + timeout
        try:
            response = self._get(path, deadline)
        except (OSError, Garbled) as error:
            self.close()
            raise explain(error, f"GET {url(self._origin, path)}", timeout) from None
        if not response.keeps:
            self.close()
        self._used_at = time.monotonic()
        return response

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _get(self, path: str, deadline: float) -> ClientResponse:
        headers = {**authorization(self._origin.api_key_file), **self._headers}
        message = build("GET", path, str(self._origin), headers, keep=True)
        if self._socket is not None and time.monotonic() - self._used_at < KEEP_SECONDS:
            stream = Stream(self._socket, deadline)
            if self._send(self._socket, message, deadline) and stream.begins():
                return read_response(stream)
        self.close()
        self._socket = connect(self._origin, deadline)
        self._socket.settimeout(seconds_left(deadline))
        self._socket.sendall(message)
        return read_response(Stream(self._socket, deadline))

    def _send(self, connection: socket.socket, message: bytes, deadline: float) -> bool:
        """Sends the request. Returns False when the server has closed the connection meanwhile."""
        try:
            connection.settimeout(seconds_left(deadline))
            connection.sendall(message)
        except ConnectionError:
            return False
        return True
