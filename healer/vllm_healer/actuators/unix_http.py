"""HTTP over a unix socket, bounded in time and size: how supervisord and Docker listen on their own host."""

from __future__ import annotations

from functools import partial

from vllm_healer.net.connection import BoundedConnection, open_unix

SCHEME = "unix://"
MAX_BODY = 4 * 1024 * 1024  # bytes; a container's description has a few thousand


class UnixConnection(BoundedConnection):
    """A connection to a socket's path; `timeout` is in seconds and holds for the whole request."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout, MAX_BODY, partial(open_unix, path))
