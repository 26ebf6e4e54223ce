"""The paths: what answers each, and who may ask."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from deploy.simulator.server.http1 import Answer, HttpRequest
from deploy.simulator.server.wording import UNAUTHORIZED, ApiError, method_not_allowed, not_found

Handler = Callable[[HttpRequest], Awaitable[Answer]]

GUARDED = ("/v1", "/v2", "/inference", "/cohere")  # what --api-key guards in vLLM: nothing else


@dataclass(frozen=True)
class Routes:
    """(method, path) -> handler."""

    table: dict[tuple[str, str], Handler]
    api_key: str = ""

    @cached_property
    def paths(self) -> frozenset[str]:
        return frozenset(path for _, path in self.table)

    def name(self, path: str) -> str:
        """The label `handler` of the http_ families."""
        return path if path in self.paths else "none"

    async def handle(self, request: HttpRequest) -> Answer:
        if self.api_key and request.path.startswith(GUARDED) and not self._knows_key(request):
            return UNAUTHORIZED
        try:
            return await self._find(request)(request)
        except ApiError as error:
            return error.answer

    def _find(self, request: HttpRequest) -> Handler:
        handler = self.table.get((request.method, request.path))
        if handler is None:
            raise method_not_allowed() if request.path in self.paths else not_found()
        return handler

    def _knows_key(self, request: HttpRequest) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        digests = (hashlib.sha256(text.encode()).digest() for text in (given, self.api_key))
        return scheme.lower() == "bearer" and hmac.compare_digest(*digests)
