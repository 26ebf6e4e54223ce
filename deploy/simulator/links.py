"""The links from the API server to its engine: in the same process, or over a socket to a process of its own."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from deploy.simulator.clock import Clock
from deploy.simulator.engine.driver import Death, Driver, Message, Output
from deploy.simulator.engine.model import EngineOptions

# Real seconds between two looks at the engine: several steps may pass in between. 100 servers with work then wake up
# 10,000 times a second at most; finer would only cost.
GRAIN = 0.010

Receive = Callable[[Output], None]
Died = Callable[[Death | None], None]

_LENGTH = struct.Struct("!I")


class EngineLink(Protocol):
    """Messages to one engine. What it says goes to `receive`; `died` is called once, with the cause if it said one."""

    def start(self, receive: Receive, died: Died) -> None: ...

    def send(self, message: Message) -> None: ...

    def close(self) -> None: ...


class LocalLink(EngineLink):
    """The engine in this process. One timer, and none while there is nothing to do."""

    def __init__(self, options: EngineOptions, clock: Clock) -> None:
        self._driver = Driver(options, slack=5 * GRAIN * clock.speed)
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def start(self, receive: Receive, died: Died) -> None:
        self._receive, self._died = receive, died
        self._loop = asyncio.get_running_loop()

    def send(self, message: Message) -> None:
        if self._over:
            return
        self._driver.handle(message, self._clock.now())
        self._advance()

    def close(self) -> None:
        self._over = True
        if self._timer:
            self._timer.cancel()

    def _advance(self) -> None:
        now = self._clock.now()
        output = self._driver.advance(now)
        self._set_timer(now)
        if output:
            self._receive(output)
        if output.death:
            self.close()
            self._died(output.death)

    def _set_timer(self, now: float) -> None:
        if self._timer:
            self._timer.cancel()
        wake = self._driver.wake_at
        if wake is None or self._over:
            self._timer = None
            return
        self._timer = self._loop.call_later(max(GRAIN, self._clock.real(wake - now)), self._advance)


class SocketLink(EngineLink):
    """The engine in a child. The end of the socket is the end of the engine; a stopped one just says nothing."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._death: Death | None = None
        self._closed = False

    def start(self, receive: Receive, died: Died) -> None:
        self._receive, self._died = receive, died
        self._task = asyncio.get_running_loop().create_task(self._read())

    def send(self, message: Message) -> None:
        self._writer.write(frame(message))

    def close(self) -> None:
        self._closed = True
        self._task.cancel()

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._end)

    async def _read(self) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                output: Output = pickle.loads(await self._reader.readexactly(length))
                self._death = output.death or self._death
                self._receive(output)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not self._closed:
                self._died(self._death)


def frame(value: object) -> bytes:
    """Length and pickle. Both ends of the socket are this program, parent and child."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def take_frames(buffer: bytearray) -> Iterator[Any]:
    """The complete values at the buffer's beginning, which are removed from it."""
    while len(buffer) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer)
        if len(buffer) < _LENGTH.size + length:
            return
        yield pickle.loads(bytes(buffer[_LENGTH.size : _LENGTH.size + length]))
        del buffer[: _LENGTH.size + length]
