"""One completion over HTTP, timed, on a connection of its own."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """The content of one request."""

    prompt: str | tuple[int, ...]  # text or token ids
    max_tokens: int
    stream: bool = True
    leave_after: int | None = None  # events after which the client goes away


@dataclass(frozen=True)
class Endpoint:
    """A server and how to ask it."""

    host: str
    port: int
    model: str = "sim"
    api_key: str = ""


@dataclass(frozen=True)
class Timing:
    """The times that a client saw. `outcome`: ok, left, an HTTP status, or the name of an error."""

    outcome: str
    seconds: float
    first: float | None = None  # until the first token, where it was a stream
    gap: float | None = None  # mean between tokens


async def complete(target: Endpoint, wish: Wish, timeout: float) -> Timing:
    """Never raises for what the server does; being cancelled closes the connection."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            return await _complete(target, wish, began)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        return Timing(type(error).__name__, time.monotonic() - began)


async def _complete(target: Endpoint, wish: Wish, began: float) -> Timing:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        writer.write(_request(target, wish))
        status = int((await reader.readuntil(b"\r\n\r\n")).split(maxsplit=2)[1])
        if status != 200:
            return Timing(str(status), time.monotonic() - began)
        return await _read(reader, wish, began)
    finally:
        writer.close()


def _request(target: Endpoint, wish: Wish) -> bytes:
    asked = {"model": target.model, "prompt": wish.prompt, "max_tokens": wish.max_tokens, "ignore_eos": True}
    body = json.dumps({**asked, "stream": wish.stream}).encode()
    key = f"Authorization: Bearer {target.api_key}\r\n" if target.api_key else ""
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n{key}"
    return (
        f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )


async def _read(reader: asyncio.StreamReader, wish: Wish, began: float) -> Timing:
    """Counts events as they come; an error inside the stream is one although HTTP said 200."""
    events, first, last, text = 0, None, began, b""
    while block := await reader.read(65536):
        text = text[-len(b"data: [DONE]") :] + block
        if b'"error"' in block:
            return Timing("stream_error", time.monotonic() - began, first)
        if wish.stream and (new := block.count(b'"text":')):
            events, last = events + new, time.monotonic()
            first = last - began if first is None else first
            if wish.leave_after is not None and events >= wish.leave_after:
                return Timing("left", last - began, first)
    if wish.stream and b"[DONE]" not in text:
        raise ConnectionResetError("the stream ended early")
    gap = (last - began - first) / (events - 1) if first is not None and events > 1 else None
    return Timing("ok", time.monotonic() - began, first, gap)
