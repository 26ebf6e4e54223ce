"""An ASGI application that ends requests as vLLM does, behind the middleware: what the header `behave` names.

A server of its own runs it: `python -m uvicorn tests.monitor.as_vllm:app --port PORT`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from vllm_monitor import Middleware

PART = b'data: {"choices":[{"text":" a"}]}\n\n'
ERROR_PART = b'data: {"error": {"message": "Internal server error", "code": 500}}\n\n'
DONE = b"data: [DONE]\n\n"
LARGE, LARGE_PARTS = b"data: " + b"x" * 65_530, 320  # 20 MiB together

# Status and text, as vLLM 0.20 to 0.32 answer.
REFUSALS: Mapping[str, tuple[int, bytes]] = {
    "validation": (400, b"max_tokens must be at least 1, got -1."),
    "not_found": (404, b"The model `absent` does not exist."),
    "rate_limited": (429, b"Too many requests"),
    "overload": (503, b"The engine is currently busy and cannot accept new requests"),
    "timeout": (500, b"RPC call to sample_tokens timed out."),
    "engine_dead": (500, b"EngineCore encountered an issue. See stack trace (above) for the root cause."),
    "oom": (500, b"CUDA out of memory. Tried to allocate 2.00 GiB."),
    "internal": (500, b"list index out of range"),
}
_released = asyncio.Event()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body to its end, as FastAPI does, and then behaves."""
    headers = dict(scope["headers"])
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":  # while the body was read: Starlette raises here
            raise ConnectionError("client disconnected")
        body, more = body + message.get("body", b""), message["more_body"]
    behave = headers.get(b"behave", b"plain").decode()
    if behave in REFUSALS:
        status, text = REFUSALS[behave]
        await whole(send, status, b'{"error":{"message":"%s","code":%d}}' % (text, status))
    elif behave == "plain":
        try:
            json.loads(body)
        except ValueError:
            await whole(send, 400, b'{"error":{"message":"There was an error parsing the body"}}')
        else:
            await whole(send, 200, b'{"choices":[{"text":" a"}]}')
    elif behave == "raise":
        raise RuntimeError("list index out of range")
    elif behave == "release":
        _released.set()
        await whole(send, 200, b"{}")
    elif behave == "silent":
        await receive()  # until the client goes
    else:
        await stream(behave, receive, send)


async def whole(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(behave: str, receive: Any, send: Any) -> None:
    """A stream that ends well, breaks, waits to be released, or goes on until the client goes."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    left = asyncio.ensure_future(receive())

    async def part(body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})

    try:
        await part(PART)
        if behave == "endless":
            while not left.done():
                await part(PART)
                await asyncio.sleep(0.005)
            return
        if behave == "large":
            for _ in range(LARGE_PARTS):
                if left.done():
                    return
                await part(LARGE)
        elif behave == "held":
            await _released.wait()
        elif behave == "in_stream":
            await part(ERROR_PART)
        elif behave == "raise_in_stream":
            raise RuntimeError("list index out of range")
        await part(DONE)
        await send({"type": "http.response.body", "body": b""})
    finally:
        left.cancel()


app = Middleware(application)
