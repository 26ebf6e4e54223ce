"""One client's connection: requests one after the other; a client that goes away ends what it asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from deploy.simulator.server.http1 import (
    LAST_CHUNK,
    Answer,
    BadRequest,
    HttpRequest,
    chunk,
    head,
    take_request,
)

Handle = Callable[[HttpRequest], Awaitable[Answer]]
Observe = Callable[[HttpRequest, int, float, int], None]  # request, status, seconds, Content-Length sent


@dataclass
class Service:
    """The parts that all connections of a server share."""

    handle: Handle
    observe: Observe
    connections: set[Connection] = field(default_factory=set)
    closed: bool = False  # cuts connections that are made from now on, for they were accepted before

    @property
    def busy(self) -> int:
        return sum(connection.busy for connection in self.connections)


class Connection(asyncio.Protocol):
    """The asyncio side of it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        host, port, *_ = transport.get_extra_info("peername") or ("", 0)
        self._peer = f"{host}:{port}"
        self._service.connections.add(self)
        if self._service.closed:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._service.connections.discard(self)
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once, without an answer, as if the process had been killed."""
        if self._transport:
            self._transport.abort()

    def _next(self) -> None:
        """Begins with the next request, if it is complete."""
        try:
            request = take_request(self._buffer, self._peer)
        except BadRequest as error:
            self._write(head(Answer(400), False) + str(error).encode())
            self.close()
            return
        if request:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: HttpRequest) -> None:
        started = time.monotonic()
        status, sent = 500, 0
        try:
            answer = await self._service.handle(request)
            status, sent = answer.status, len(answer.body)
            await self._send(answer, request.keep_alive)
        except asyncio.CancelledError:
            status = 200  # what vLLM's middleware counts for a client that left
            raise
        finally:
            self._task = None
            self._service.observe(request, status, time.monotonic() - started, sent)
        if not request.keep_alive:
            self.close()
        elif self._transport:
            self._next()

    async def _send(self, answer: Answer, keep_alive: bool) -> None:
        self._write(head(answer, keep_alive))
        if answer.parts is None:
            self._write(answer.body)
            return
        async for part in answer.parts:
            self._write(chunk(part))
        self._write(LAST_CHUNK)

    def _write(self, data: bytes) -> None:
        if self._transport and data:
            self._transport.write(data)
