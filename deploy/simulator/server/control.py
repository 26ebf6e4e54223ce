"""/sim/…: the failures, for this host only. What vLLM does not have is under a prefix of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from deploy.simulator.errors import EngineDead, NotPossible, UnknownFailure
from deploy.simulator.failures.catalogue import FAILURES
from deploy.simulator.server.http1 import Answer, HttpRequest, json_answer
from deploy.simulator.server.routes import Handler

PREFIX = "/sim/"


class Breakable(Protocol):
    """A server whose failures can be switched."""

    @property
    def active(self) -> str: ...

    async def break_(self, how: str, times: int | None) -> str:
        """The failure's words. Raises UnknownFailure, NotPossible, EngineDead."""
        ...

    async def mend(self) -> None: ...


class Control:
    """The handlers."""

    def __init__(self, server: Breakable, siblings: Mapping[int, Breakable]) -> None:
        self._server = server
        self._siblings = siblings

    def table(self) -> dict[tuple[str, str], Handler]:
        return {
            ("POST", "/sim/break"): self._break,
            ("POST", "/sim/mend"): self._mend,
            ("GET", "/sim/failures"): self._failures,
        }

    async def _break(self, request: HttpRequest) -> Answer:
        if refusal := _refusal(request):
            return refusal
        try:
            asked = _body(request)
            words = await self._meant(asked).break_(_how(asked), _times(asked))
        except (ValueError, UnknownFailure) as error:
            return json_answer({"error": str(error)}, 400)
        except (NotPossible, EngineDead) as error:
            return json_answer({"error": str(error)}, 409)
        return json_answer({"broken": asked["how"], "words": words})

    async def _mend(self, request: HttpRequest) -> Answer:
        if refusal := _refusal(request):
            return refusal
        try:
            server = self._meant(_body(request))
        except ValueError as error:
            return json_answer({"error": str(error)}, 400)
        was = server.active
        await server.mend()
        return json_answer({"mended": was})

    async def _failures(self, _: HttpRequest) -> Answer:
        known = [{"how": failure.how, "words": failure.words} for failure in FAILURES.values()]
        return json_answer({"active": self._server.active, "failures": known})

    def _meant(self, asked: Mapping[str, Any]) -> Breakable:
        """This server, or another of its fleet, which may be down. Raises ValueError."""
        port = asked.get("port")
        if port is None:
            return self._server
        if port not in self._siblings:
            raise ValueError(f"no server on port {port!r} in this fleet")
        return self._siblings[port]


def _body(request: HttpRequest) -> Mapping[str, Any]:
    """Raises ValueError."""
    body = request.json() if request.body else {}
    if not isinstance(body, dict):
        raise ValueError('send a JSON object, such as {"how": "hang"}')
    return body


def _how(asked: Mapping[str, Any]) -> str:
    if not isinstance(asked.get("how"), str):
        raise ValueError('send {"how": "hang"}; GET /sim/failures lists them')
    return str(asked["how"])


def _times(asked: Mapping[str, Any]) -> int | None:
    times = asked.get("times")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise ValueError(f"times must be a whole number above 0, not {times!r}")
    return times


def _refusal(request: HttpRequest) -> Answer | None:
    """A web page that a browser of this host shows must not break servers: it cannot leave Origin out."""
    if "origin" in request.headers:
        return json_answer({"error": "not from a web page"}, 403)
    host, _, _ = request.peer.rpartition(":")
    if host not in ("::1", "::ffff:127.0.0.1") and not host.startswith("127."):
        return json_answer({"error": "failures are switched from this host only: use 127.0.0.1"}, 403)
    return None
