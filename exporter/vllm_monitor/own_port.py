"""A port of a server's own for its series, where no exporter runs: VLLM_MONITOR_PORT=9401, on loopback.

One of the server's API processes holds it and answers for all, out of their files; when it ends, another takes it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from vllm_monitor.place import PORT_VARIABLE, own_role
from vllm_monitor.process import Process
from vllm_monitor.reading import lives, read_all
from vllm_monitor.text import render

HOST = "127.0.0.1"
AGAIN = 5.0  # seconds after which a process tries to take a port that another holds
TIMEOUT = 10.0  # seconds for a client to ask
TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOGGER = logging.getLogger("vllm_monitor")


def chosen_port(environment: Mapping[str, str] = os.environ) -> int:
    """Returns the port, 0 where none is asked for. Raises ValueError with what to write."""
    text = environment.get(PORT_VARIABLE, "")
    if not text:
        return 0
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise ValueError(f"{PORT_VARIABLE} is {text!r}: write a port from 1 to 65535")
    return int(text)


def add_own_port(process: Process) -> None:
    """Has an API server answer on the port, if one is asked for: engines have steps to do. Raises ValueError."""
    port = chosen_port()
    if port and own_role() == "api_server":
        process.background.add(OwnPort(port, process.background.folder, process.background.port))


class OwnPort:
    """Takes the port as soon as it is free."""

    def __init__(self, port: int, folder: Path, server: int) -> None:
        self._address = HOST, port
        self._handler = handler(folder, server)
        self._server: ThreadingHTTPServer | None = None
        self._tried = -AGAIN

    def __call__(self, now: float) -> Iterator[None]:
        if self._server is None and now - self._tried >= AGAIN:
            self._tried = now
            self._take()
        yield

    def close(self) -> None:
        """Gives the port back."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self) -> None:
        try:
            server = Server(self._address, self._handler)
        except OSError as error:
            LOGGER.debug("vllm_monitor: port %d is taken: %s", self._address[1], error)
            return
        self._server = server
        threading.Thread(target=server.serve_forever, name="vllm-monitor-port", daemon=True).start()


class Server(ThreadingHTTPServer):
    """Threads that do not keep the serving process from ending."""

    daemon_threads = True
    allow_reuse_address = True


def page(folder: Path, server: int, now: float) -> str:
    """Returns the text of all living processes of the server on a port. `now`: CLOCK_MONOTONIC, in seconds."""
    return render((one for one in read_all(folder) if one.port == server and lives(one, now)), now)


def handler(folder: Path, server: int) -> type[BaseHTTPRequestHandler]:
    """Returns the class that answers a request for /metrics."""

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            body = page(folder, server, time.monotonic()).encode()
            self.send_response(200)
            self.send_header("Content-Type", TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Writes nothing: a scrape is no event."""

    return Handler
