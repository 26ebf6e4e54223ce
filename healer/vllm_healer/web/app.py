"""The Flask application: says who may ask, and how errors are told.

Alertmanager sends again what is answered with 5xx, and drops what is answered with 4xx: so 503 is for what can pass
(the journal's disk), 4xx for what would fail again.
"""

from __future__ import annotations

import time

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from vllm_healer.errors import BadEncoding, BadPayload, JournalError, NotWaiting
from vllm_healer.web import routes
from vllm_healer.web.deps import WebDeps
from vllm_healer.web.door import OPEN_PATHS, Denial, Door, again, is_webhook
from vllm_healer.web.hosts import is_loopback, is_own_host

EXTENSION = "vllm_healer"  # key of the Door in app.extensions
NOTHING_TO_ANSWER = "see /incidents for what waits for approval"
NOTHING_ACCEPTED = "nothing was accepted; send it again later"
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",  # the page runs and loads nothing
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(deps: WebDeps) -> Flask:
    """Makes an application; two never share anything."""
    app = Flask(__name__, static_folder=None)
    door = app.extensions[EXTENSION] = Door(deps)
    app.config["MAX_CONTENT_LENGTH"] = deps.config.max_body_bytes
    app.before_request(lambda: _before(deps, door))
    app.after_request(lambda response: _after(deps, door, response))
    routes.register(app, deps, door)
    _register_errors(app, door)
    return app


def door_of(app: Flask) -> Door:
    """The door of an application, for the server before it."""
    door = app.extensions[EXTENSION]
    assert isinstance(door, Door)
    return door


def told(refusal: Denial) -> Response:
    """The refusal as the application answers it."""
    response = jsonify(error=refusal.error, fix=refusal.fix)
    response.status_code = refusal.code
    response.headers.update(refusal.headers)
    return response


def _before(deps: WebDeps, door: Door) -> Response | None:
    """Asks for the token everywhere but on the health and metrics pages, on unknown paths too."""
    g.started = time.monotonic()
    foreign, authorization = _foreign(deps.config.listen), request.headers.get("Authorization", "")
    if foreign is None and request.path in OPEN_PATHS:
        return None
    # By whatever name, for who has the token: a page that leads here has none, and a proxy passes it on.
    refusal = door.judge(authorization, request.path)
    return None if refusal is None else told(foreign or refusal)


def _foreign(listen: str) -> Denial | None:
    """Refuses what is asked by a name that leads to loopback, as that of a page on the internet can. Where others are
    meant to reach the healer, by names that it cannot know, only the page for people is guarded so."""
    guarded = request.path == "/" or is_loopback(listen)
    if not guarded or is_own_host(request.headers.get("Host", ""), listen):
        return None
    fix = "use its address, the machine's own name, or send the token"
    return Denial(421, "Misdirected Request", "this is not this healer's name", fix)


def _after(deps: WebDeps, door: Door, response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    if is_webhook(request.path) and request.method == "POST":
        deps.metrics.webhook_seconds.observe(time.monotonic() - g.started)
        if response.status_code == 200:
            deps.metrics.webhook_requests.labels(code="200").inc()
        else:
            words = str((response.get_json(silent=True) or {}).get("error", response.status))
            door.refusals.note(response.status_code, words, request.remote_addr or "unknown")
    return response


def _register_errors(app: Flask, door: Door) -> None:
    app.register_error_handler(BadPayload, lambda error: told(_bad_payload(error)))
    app.register_error_handler(NotWaiting, lambda error: told(Denial(409, "Conflict", str(error), NOTHING_TO_ANSWER)))
    app.register_error_handler(JournalError, lambda error: told(again(str(error), NOTHING_ACCEPTED)))
    app.register_error_handler(RequestEntityTooLarge, lambda _: told(door.too_large()))
    app.register_error_handler(HTTPException, lambda error: told(_other(error)))


def _bad_payload(error: BadPayload) -> Denial:
    if isinstance(error, BadEncoding):
        return Denial(415, "Unsupported Media Type", str(error), "send it with gzip or without Content-Encoding")
    return Denial(400, "Bad Request", str(error), "send what Alertmanager's webhook_configs sends, version 4")


def _other(error: HTTPException) -> Denial:
    """Answers 404, 405 and the like, or a defect (500). Paths are the caller's text, so none is repeated."""
    code = error.code or 500
    fix = "see the healer's log" if code >= 500 else "see the paths in the healer's documentation"
    return Denial(code, error.name, error.name, fix)
