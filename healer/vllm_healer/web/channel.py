"""One connection of waitress. Who is not let in is refused when the headers are there, before a body is read."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.utilities import RequestEntityTooLarge

from vllm_healer.web.door import Denial, Door


class Parser(HTTPRequestParser):
    """Reads one request. `sender` is the client's address."""

    path: str

    def __init__(self, door: Door, sender: str, adj: Any) -> None:
        super().__init__(adj)
        self._door = door
        self._sender = sender

    def received(self, data: bytes) -> int:
        headers_were_there = self.headers_finished
        consumed = super().received(data)
        if self.headers_finished and not headers_were_there:
            return len(data) if self._refused() else consumed  # what came of the body is thrown away
        if isinstance(self.error, RequestEntityTooLarge):  # a chunked body tells its size only as it comes
            self._refuse(self._door.too_large())
        return consumed

    def _refused(self) -> bool:
        """True for a body that is not read. A request without one costs nothing: the application judges it."""
        too_large = isinstance(self.error, RequestEntityTooLarge)
        if self.body_rcv is None or (self.error and not too_large):
            return False
        refusal = self._door.judge_body(self.headers, self.path, too_large)
        if refusal is not None:
            self._refuse(refusal)
        return refusal is not None

    def _refuse(self, refusal: Denial) -> None:
        self._door.note(self.path, refusal, self._sender)
        self.error = refusal
        self.expect_continue = False  # nobody waits for a body
        self.completed = True


class Channel(HTTPChannel):
    """One connection of a server that has a `door`."""

    requests: Any  # a list, which the types of waitress do not say

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:
        self.waits_since = time.monotonic()  # for a request, or for the client to take its answer
        self.kept = False  # it has had an answer
        self.parser_class = partial(Parser, server.door, str(addr[0]))  # type: ignore[assignment]  # all that is asked of it
        super().__init__(server, sock, addr, adj, map)

    def service(self) -> None:
        super().service()
        self.waits_since, self.kept = time.monotonic(), True

    def refuse(self, refusal: Denial, close: bool) -> None:
        """Answers the one request that is there, in the thread that has read it: a storm has many to refuse."""
        status, headers, body = refusal.to_response()
        last = [("Connection", "close" if close else "keep-alive"), ("Content-Length", str(len(body)))]
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in [*headers, *last]), "", ""]
        self.requests.pop(0).close()
        self.waits_since, self.kept = time.monotonic(), True
        self.will_close = close
        self.send("\r\n".join(lines).encode() + body)  # a few hundred bytes: the kernel has room for them

    def handle_read(self) -> None:
        """Reads, unless enough of the kept connections were read in this round: what it sent waits for the next."""
        served: Any = self.server
        served.turns -= self.kept
        if not self.kept or served.turns >= 0:
            super().handle_read()

    def readable(self) -> bool:
        return self.connected and bool(super().readable())

    def writable(self) -> bool:
        return self.connected and bool(super().writable())
