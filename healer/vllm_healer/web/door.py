"""The door lets requests in or not, when their headers are there: before a body is read, before the application."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from waitress.utilities import Error

from vllm_healer.errors import ConfigError
from vllm_healer.web.auth import Right, Tokens, allowed
from vllm_healer.web.deps import WebDeps
from vllm_healer.web.refusals import Refusals

log = logging.getLogger(__name__)

WEBHOOK = "/alerts"
OPERATING = frozenset({"/pause", "/resume", "/approve", "/refuse", "/maintenance"})
OPEN_PATHS = frozenset({"/", "/metrics", "/-/healthy", "/-/ready"})
RETRY_SECONDS = 15  # Alertmanager's group_interval: it does not send sooner anyway


class Denial(Error):
    """An answer with what is wrong and what to do about it, as JSON; waitress sends it too."""

    def __init__(self, code: int, reason: str, error: str, fix: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.code, self.reason = code, reason
        self.error, self.fix = error, fix
        self.headers = dict(headers or {})

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], Any]:
        body = json.dumps({"error": self.error, "fix": self.fix}).encode()
        return f"{self.code} {self.reason}", [("Content-Type", "application/json"), *self.headers.items()], body


class Door:
    """Judges requests. Any thread may call it."""

    def __init__(self, deps: WebDeps) -> None:
        self._tokens, self._settings = deps.tokens, Tokens.of(deps.config).settings
        self._limit = deps.config.max_body_bytes
        self.refusals = Refusals(deps.metrics)

    def judge(self, authorization: str, path: str) -> Denial | None:
        """The refusal of who has no token for this path. It is read now, as Alertmanager and the CLI do at each use."""
        right = right_for(path)
        try:
            tokens = self._tokens(right)
        except ConfigError as error:
            log.error("nobody is let in: %s", error)
            return again("the healer cannot read its token now", "see the healer's log; send it again later")
        if allowed(authorization, tokens):
            return None
        fix = f"send 'Authorization: Bearer' with the token of {' or '.join(self._settings(right))}"
        return Denial(401, "Unauthorized", "no or wrong bearer token", fix, {"WWW-Authenticate": "Bearer"})

    def judge_body(self, headers: Mapping[str, str], path: str, too_large: bool) -> Denial | None:
        """The refusal of a request whose body was not read yet; `headers` are named as in WSGI, without HTTP_."""
        return self.judge(headers.get("AUTHORIZATION", ""), path) or (self.too_large() if too_large else None)

    def busy(self) -> Denial:
        """The words about a webhook that would wait too long. It was read, so that its connection can be used again."""
        return again("more webhooks came at once than are taken in a moment", "nothing is lost: send it again")

    def too_large(self) -> Denial:
        """The words about a body above the limit."""
        fix = "group alerts more finely, or raise max_body_bytes in healer.yml"
        return Denial(413, "Request Entity Too Large", f"the body is larger than {self._limit} bytes", fix)

    def note(self, path: str, refusal: Denial, sender: str) -> None:
        """Counts and tells a refused webhook."""
        if is_webhook(path):
            self.refusals.note(refusal.code, refusal.error, sender)


def again(error: str, fix: str) -> Denial:
    """The refusal of what can pass: Alertmanager sends again what is answered with 5xx, and drops 4xx."""
    return Denial(503, "Service Unavailable", error, fix, {"Retry-After": str(RETRY_SECONDS)})


def right_for(path: str) -> Right:
    """The right that this path asks for; on one that is not known, to read."""
    if is_webhook(path):
        return Right.ALERTS
    return Right.OPERATE if path.rstrip("/") in OPERATING else Right.READ


def is_webhook(path: str) -> bool:
    """True for the path of webhooks, with a slash at its end too."""
    return path.rstrip("/") == WEBHOOK
