"""The health of the engine over HTTP, in a service of one's own: `GET …/health`, or a POST with "action": "health".

app.include_router(health_router(engine))       # FastAPI
app.mount("/vllm", health_router(engine))       # Starlette, or any ASGI application
"""

from __future__ import annotations

import json
import sys
from collections.abc import MutableMapping
from typing import Any

from vllm_monitor.answers import Receive, Send, answer
from vllm_monitor.health import answer_health, health_answer

LONGEST = 4096  # bytes of a request's body that are read


def health_router(model_manager: Any = None) -> Any:
    """Returns FastAPI's router in a program that has FastAPI, else an ASGI application to mount.

    `model_manager`: as for `get_health_stats`.
    """
    fastapi = sys.modules.get("fastapi")
    if fastapi is None:
        return HealthApp(model_manager)

    async def health() -> dict[str, Any]:
        return await health_answer(model_manager)

    async def act(request: dict[str, Any]) -> dict[str, Any]:
        return await answer_health(request, model_manager) or {"error": UNKNOWN}

    router = fastapi.APIRouter()
    act.__annotations__["request"] = dict[str, Any]  # FastAPI would look for the words of this module in its own
    router.add_api_route("/health", health, methods=["GET"], response_model=None)
    router.add_api_route("/health", act, methods=["POST"], response_model=None)
    return router


UNKNOWN = 'send {"action": "health"}'


class HealthApp:
    """An ASGI application that answers with the health, wherever it is mounted."""

    def __init__(self, model_manager: Any = None) -> None:
        self._model_manager = model_manager

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        found: dict[str, Any] | None = None
        if scope["method"] == "POST":
            found = await answer_health(parse(await read(receive)), self._model_manager)
        elif scope["path"].rstrip("/").endswith("/health"):
            found = await health_answer(self._model_manager)
        status = 200 if found is not None else 400 if scope["method"] == "POST" else 404
        await answer(send, status, found if found is not None else {"error": UNKNOWN})


async def read(receive: Receive) -> bytes:
    """Returns a body, or its first LONGEST bytes and some."""
    body, more = b"", True
    while more and len(body) <= LONGEST:
        message = await receive()
        body += message.get("body", b"")
        more = bool(message.get("more_body", False))
    return body


def parse(body: bytes) -> dict[str, Any]:
    """Returns the object of a body; an empty one for anything else."""
    try:
        found = json.loads(body) if len(body) <= LONGEST else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
