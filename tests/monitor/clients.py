"""Clients of HTTP/1.1 that do what well-behaved ones would not: pipeline, leave, stop reading, say nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close that the other side sees as a reset


@dataclass(frozen=True)
class Answer:
    """`whole`: it came to its end; else the connection broke before. Status 0: none came at all."""

    status: int
    body: bytes
    whole: bool


class Client:
    """One connection. It is opened at the first request, and again after the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Sends a request, and reads the answer to its end."""
        await self.send(request(path, body, headers))
        return await self.answer()

    async def send(self, data: bytes) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Answer:
        """Reads the next answer."""
        assert self._reader is not None
        status, body, fields = 0, b"", b""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, fields = int(head.split()[1]), head.lower()
            if b"transfer-encoding: chunked" in fields:
                while size := int(await self._reader.readline(), 16):
                    body += (await self._reader.readexactly(size + 2))[:-2]
                await self._reader.readexactly(2)
            else:
                length = int(fields.partition(b"content-length:")[2].split()[0])
                body = await self._reader.readexactly(length)
        except (ValueError, IndexError, OSError, asyncio.IncompleteReadError):
            self.leave()
            return Answer(status, body, False)
        if b"connection: close" in fields:
            self.leave()
        return Answer(status, body, True)

    async def read(self, number: int) -> bytes:
        """Reads so many bytes of an answer, and no more."""
        assert self._reader is not None
        return await self._reader.readexactly(number)

    async def until(self, sign: bytes) -> bytes:
        """Reads up to these bytes of an answer, and no further."""
        assert self._reader is not None
        return await self._reader.readuntil(sign)

    def shut(self) -> None:
        """Says that nothing more will be sent."""
        assert self._writer is not None
        self._writer.write_eof()

    def leave(self, reset: bool = False) -> None:
        """Goes away without a word."""
        if self._writer is None:
            return
        if reset:
            with contextlib.suppress(OSError):
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._writer.transport.abort()
        self._reader = self._writer = None


def request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Returns the bytes of a POST whose connection stays open."""
    fields = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
