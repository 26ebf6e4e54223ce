"""An HTTP server on a Unix socket, as container engines and supervisors have one, with answers from a test."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

Answers = Mapping[str, tuple[int, bytes]]  # 'GET /path' to status and body


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def unix_server(path: Path, answers: Answers) -> Iterator[list[str]]:
    """Yields the requests that came, as 'GET /path'; what is not among the answers is answered with 404."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer()

        def _answer(self) -> None:
            key = f"{self.command} {self.path}"
            requests.append(key)
            status, body = answers.get(key, (404, b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _Server(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield requests
        server.shutdown()
