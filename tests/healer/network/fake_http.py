"""An HTTP server on a free port that answers as a test tells it: well, badly, cut short, or not at all."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FOREVER = 5.0  # seconds that "not at all" lasts; the clients under test give up long before


@dataclass(frozen=True)
class Reply:
    """`missing` bytes are announced and not sent; a `hang` sends nothing until the test ends."""

    status: int = 200
    body: bytes = b""
    missing: int = 0
    hang: bool = False
    trickle: float = 0.0  # seconds after each byte
    headers: dict[str, str] = field(default_factory=dict)  # a Transfer-Encoding replaces the length


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeServer:
    """`replies` by path without its query; a list is used up from the front, its last one stays. `hooks` come first."""

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    hooks: dict[str, Callable[[Request], Reply]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    date: str | None = None  # the header Date of each answer; None: the true time
    running: ThreadingHTTPServer | None = None

    def say(self, path: str, *replies: Reply) -> None:
        self.replies[path] = list(replies)

    def say_json(self, path: str, answer: Any, status: int = 200) -> None:
        self.say(path, Reply(status, json.dumps(answer).encode()))

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def reply(self, request: Request) -> Reply:
        hook = self.hooks.get(request.path)
        return hook(request) if hook else self.next_reply(request.path)

    def next_reply(self, path: str) -> Reply:
        replies = self.replies.get(path.partition("?")[0], [Reply(404, b"not found")])
        return replies.pop(0) if len(replies) > 1 else replies[0]


def start(fake: FakeServer) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, dict(self.headers), body)
            fake.requests.append(request)
            reply = fake.reply(request)
            if reply.hang:
                fake.ended.wait(FOREVER)
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", "text/xml" if self.path == "/RPC2" else "application/json")
            if "Transfer-Encoding" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body) + reply.missing))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has given up
                self.send(reply)

        def send(self, reply: Reply) -> None:
            for piece in [bytes([byte]) for byte in reply.body] if reply.trickle else [reply.body]:
                self.wfile.write(piece)
                if fake.ended.wait(reply.trickle):
                    return

        do_GET = do_POST = answer  # noqa: N815 - http.server looks for these names

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string() if fake.date is None else fake.date

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.running = server
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
