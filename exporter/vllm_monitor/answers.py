"""Answers of our own, by ASGI."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

NOT_FOUND = {"detail": "Not Found"}  # as vLLM says of a path that it does not have


async def answer(send: Send, status: int, document: object, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Sends a JSON document as the whole answer."""
    body = json.dumps(document).encode()
    about = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": body, "more_body": False})
