"""A server in threads that answers as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

Answer = Callable[[socket.socket], None]


class Answering:
    """Gives each connection to `answer`, in a thread of its own, and closes it afterwards.

    Listens on a free port of loopback unless it is given a socket. Clients may leave early: what then cannot be sent
    or read is no failure.
    """

    def __init__(self, answer: Answer, listening: socket.socket | None = None) -> None:
        self.closing = threading.Event()  # an answer that is to hang waits for it
        self._answer = answer
        self._socket = listening or socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Those who come from now on are refused."""
        self.closing.set()
        with contextlib.suppress(OSError):  # closed before
            self._socket.shutdown(socket.SHUT_RDWR)  # ends the wait in accept(), which close() alone does not
        self._socket.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                continue  # closed, or a handshake that failed
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._answer(connection)


def ok(body: bytes) -> bytes:
    """The answer 200 with that body."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
