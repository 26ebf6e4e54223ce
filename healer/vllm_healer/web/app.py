"""The Flask application: says who may ask, and how errors are told.

Alertmanager sends again what is answered with 5xx, and drops what is answered with 4xx: so 503 is for what can pass
(the journal's disk), 4xx for what would fail again.
"""

from __future__ import annotations

import time

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, Unauthorized

from vllm_healer.errors import BadPayload, JournalError
from vllm_healer.web import routes
from vllm_healer.web.auth import allowed
from vllm_healer.web.deps import WebDeps

EXTENSION = "vllm_healer"  # key of WebDeps in app.extensions
OPEN_PATHS = frozenset({"/", "/metrics", "/-/healthy", "/-/ready"})
RETRY_SECONDS = 15  # Alertmanager's group_interval: it does not send sooner anyway
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",  # the page runs and loads nothing
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(deps: WebDeps) -> Flask:
    """Makes an application; two never share anything."""
    app = Flask(__name__, static_folder=None)
    app.extensions[EXTENSION] = deps
    app.config["MAX_CONTENT_LENGTH"] = deps.config.max_body_bytes
    app.before_request(lambda: _before(deps))
    app.after_request(lambda response: _after(deps, response))
    routes.register(app, deps)
    _register_errors(app)
    return app


def told(status: int, error: str, fix: str) -> Response:
    """An error as JSON: what is wrong, and what to do about it."""
    response = jsonify(error=error, fix=fix)
    response.status_code = status
    return response


def _before(deps: WebDeps) -> None:
    """Asks for the token everywhere but on the health and metrics pages, on unknown paths too."""
    g.started = time.monotonic()
    if request.path not in OPEN_PATHS and not allowed(request.headers.get("Authorization", ""), deps.token):
        raise Unauthorized


def _after(deps: WebDeps, response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    if request.path == routes.WEBHOOK and request.method == "POST":
        deps.metrics.webhook_requests.labels(code=str(response.status_code)).inc()
        deps.metrics.webhook_seconds.observe(time.monotonic() - g.started)
    return response


def _register_errors(app: Flask) -> None:
    app.register_error_handler(BadPayload, _bad_payload)
    app.register_error_handler(JournalError, _journal_error)
    app.register_error_handler(Unauthorized, _unauthorized)
    app.register_error_handler(RequestEntityTooLarge, lambda _: told(413, *too_large(app)))
    app.register_error_handler(HTTPException, _other)


def too_large(app: Flask) -> tuple[str, str]:
    """The words about a body above the limit, for the application and for the server before it."""
    limit = app.config["MAX_CONTENT_LENGTH"]
    return f"the body is larger than {limit} bytes", "group alerts more finely, or raise max_body_bytes in healer.yml"


def _bad_payload(error: BadPayload) -> Response:
    return told(400, str(error), "send what Alertmanager's webhook_configs sends, version 4")


def _journal_error(error: JournalError) -> Response:
    response = told(503, str(error), "nothing was accepted; send it again later")
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _unauthorized(_: Exception) -> Response:
    response = told(401, "no or wrong bearer token", "send 'Authorization: Bearer' with the token of token_file")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _other(error: HTTPException) -> Response:
    """Answers 404, 405 and the like, or a defect (500). Paths are the caller's text, so none is repeated."""
    code = error.code or 500
    fix = "see the healer's log" if code >= 500 else "see the paths in the healer's documentation"
    return told(code, error.name, fix)
