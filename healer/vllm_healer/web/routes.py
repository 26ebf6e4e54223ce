"""The functions that answer each path."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flask import Flask, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import RequestEntityTooLarge

from vllm_healer import webhook
from vllm_healer.errors import BadPayload, JournalError
from vllm_healer.journal import Recorded
from vllm_healer.ledger import Consent
from vllm_healer.model import Alert
from vllm_healer.web.control import check_maintenance
from vllm_healer.web.deps import WebDeps
from vllm_healer.web.door import WEBHOOK, Door
from vllm_healer.web.page import render, render_brief

SENTENCES = 20  # of the history on the page: what fits one screen
PARSING = threading.BoundedSemaphore(2)  # bodies that are parsed at once: one of 16 MiB takes many times that
ALERTS = 1000  # journalled in one transaction, so that nobody waits long for the disk


def register(app: Flask, deps: WebDeps, door: Door) -> None:
    """Binds the paths to functions of `deps`."""
    app.add_url_rule(WEBHOOK, "alerts", lambda: alerts(deps, door), methods=["POST"], strict_slashes=False)
    app.add_url_rule("/pause", "pause", lambda: pause(deps), methods=["POST"])
    app.add_url_rule("/resume", "resume", lambda: resume(deps), methods=["POST"])
    app.add_url_rule("/approve", "approve", lambda: answer(deps, Consent.APPROVED), methods=["POST"])
    app.add_url_rule("/refuse", "refuse", lambda: answer(deps, Consent.REFUSED), methods=["POST"])
    app.add_url_rule("/maintenance", "maintenance", lambda: maintenance(deps), methods=["POST"])
    app.add_url_rule("/incidents", "incidents", lambda: incidents(deps), methods=["GET"])
    app.add_url_rule("/metrics", "metrics", lambda: metrics(deps), methods=["GET"])
    app.add_url_rule("/-/healthy", "healthy", healthy, methods=["GET"])
    app.add_url_rule("/-/ready", "ready", lambda: ready(deps), methods=["GET"])
    app.add_url_rule("/", "page", lambda: page(deps, door), methods=["GET"])


def alerts(deps: WebDeps, door: Door) -> Response:
    """Takes Alertmanager's webhook. It is answered when the journal has it, and only then."""
    limit = deps.config.max_body_bytes
    with PARSING:
        body = webhook.decode(request.get_data(cache=False), request.headers.get("Content-Encoding", ""), limit)
        if len(body) > limit:
            raise RequestEntityTooLarge
        heard = webhook.parse(body)
    recorded = [_record(deps, heard.alerts[start : start + ALERTS]) for start in range(0, len(heard.alerts), ALERTS)]
    left_out = sum(one.left_out for one in recorded)
    if any(one.stored for one in recorded):
        deps.worker.wake()
    sender = request.remote_addr or "unknown"
    door.refusals.left_out(left_out, sender)
    door.refusals.unreadable(heard.unreadable, sender)
    return jsonify(accepted=len(heard.alerts), **_beside(left_out, heard.unreadable))


def _record(deps: WebDeps, heard: Sequence[Alert]) -> Recorded:
    return deps.journal.record_alerts(heard, deps.clock.now())


def _beside(left_out: int, unreadable: Sequence[str]) -> dict[str, object]:
    """Says what was not journalled of a notification, where there is something."""
    found = {"left_out": left_out, "unreadable": list(unreadable[:SENTENCES])}
    return {name: value for name, value in found.items() if value}


def pause(deps: WebDeps) -> Response:
    """Stops acting until `resume`; diagnosing goes on. A JSON body may give a `reason`."""
    deps.journal.pause(_reason(), deps.clock.now())
    return jsonify(paused=deps.journal.paused())


def resume(deps: WebDeps) -> Response:
    deps.journal.resume(_reason(), deps.clock.now())
    deps.worker.wake()
    return jsonify(paused=deps.journal.paused())


def answer(deps: WebDeps, given: Consent) -> Response:
    """Takes a person's answer to a request for approval: the JSON body has its number, and may give a `reason`."""
    body = request.get_json(silent=True)
    number = body.get("approval") if isinstance(body, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise BadPayload('expected JSON with the number of a request: {"approval": 3}')
    deps.journal.answer(number, given, _reason(), deps.clock.now())
    deps.worker.wake()
    return jsonify(approval=number, answer=given.value)


def maintenance(deps: WebDeps) -> Response:
    """Begins or ends maintenance: the JSON body has `about`, `seconds` (0 ends it), and may give a `reason`."""
    body = request.get_json(silent=True)
    about, seconds = (body.get("about"), body.get("seconds")) if isinstance(body, dict) else (None, None)
    check_maintenance(about, seconds)
    deps.journal.maintain(str(about), float(str(seconds)), _reason(), deps.clock.now())
    return jsonify(about=about, seconds=seconds)


def incidents(deps: WebDeps) -> Response:
    """The open incidents with their alerts, for programs."""
    found = [asdict(incident) for incident in deps.journal.open_incidents()]
    waiting = [asdict(one) for one in deps.journal.waiting_approvals(deps.clock.now())]
    paused = deps.journal.paused()
    return jsonify(mode=deps.config.mode.value, paused=paused, incidents=found, approvals=waiting)


def metrics(deps: WebDeps) -> Response:
    """The healer's own metrics; they are there also when the journal is not."""
    try:
        deps.metrics.paused.set(bool(deps.journal.paused()))
    except JournalError:
        deps.metrics.paused.set(float("nan"))  # not known is not 0
    return Response(generate_latest(deps.metrics.registry), content_type=CONTENT_TYPE_LATEST)


def healthy() -> Response:
    """Answers, as long as the process can. It is for a supervisor that restarts the healer."""
    return Response("healthy\n", mimetype="text/plain")


def ready(deps: WebDeps) -> Response:
    """Answers 200 while it can take alerts and work on them. It is for a monitor that alerts."""
    try:
        deps.journal.check_writable()
    except JournalError as error:  # the directory is nothing to tell everybody
        words = str(error).replace(f"{Path(deps.config.journal).parent}/", "")
        return Response(f"{words}\n", 503, mimetype="text/plain")
    if not deps.worker.alive():
        return Response(
            "the worker has ended or is stuck; see the log, then restart the healer\n", 503, mimetype="text/plain"
        )
    return Response("ready\n", mimetype="text/plain")


def page(deps: WebDeps, door: Door) -> Response:
    """The page with what a person wants to know first: all of it for who has the token, else numbers without words."""
    journal, mode = deps.journal, deps.config.mode.value
    if door.judge(request.headers.get("Authorization", ""), request.path) is not None:
        text = render_brief(mode, bool(journal.paused()), len(journal.open_incidents()))
    else:
        waiting = journal.waiting_approvals(deps.clock.now())
        text = render(mode, journal.paused(), journal.open_incidents(), journal.history(SENTENCES), waiting)
    return Response(text, mimetype="text/html")


def _reason() -> str:
    """The caller's words for who and why."""
    body = request.get_json(silent=True)
    reason = body.get("reason") if isinstance(body, dict) else None
    return reason if isinstance(reason, str) and reason else f"no reason given, over HTTP from {request.remote_addr}"
