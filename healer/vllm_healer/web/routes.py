"""The functions that answer each path."""

from __future__ import annotations

from dataclasses import asdict

from flask import Flask, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from vllm_healer import webhook
from vllm_healer.errors import JournalError
from vllm_healer.web.deps import WebDeps
from vllm_healer.web.page import render

WEBHOOK = "/alerts"
SENTENCES = 20  # of the history on the page: what fits one screen


def register(app: Flask, deps: WebDeps) -> None:
    """Binds the paths to functions of `deps`."""
    app.add_url_rule(WEBHOOK, "alerts", lambda: alerts(deps), methods=["POST"])
    app.add_url_rule("/pause", "pause", lambda: pause(deps), methods=["POST"])
    app.add_url_rule("/resume", "resume", lambda: resume(deps), methods=["POST"])
    app.add_url_rule("/incidents", "incidents", lambda: incidents(deps), methods=["GET"])
    app.add_url_rule("/metrics", "metrics", lambda: metrics(deps), methods=["GET"])
    app.add_url_rule("/-/healthy", "healthy", healthy, methods=["GET"])
    app.add_url_rule("/-/ready", "ready", lambda: ready(deps), methods=["GET"])
    app.add_url_rule("/", "page", lambda: page(deps), methods=["GET"])


def alerts(deps: WebDeps) -> Response:
    """Takes Alertmanager's webhook. It is answered when the journal has it, and only then."""
    heard = webhook.parse(request.get_data(cache=False))
    deps.journal.record_alerts(heard, deps.clock.now())
    deps.metrics.alerts_received.inc(len(heard))
    deps.worker.wake()
    return jsonify(accepted=len(heard))


def pause(deps: WebDeps) -> Response:
    """Stops acting until `resume`; diagnosing goes on. A JSON body may give a `reason`."""
    deps.journal.pause(_reason(), deps.clock.now())
    return jsonify(paused=deps.journal.paused())


def resume(deps: WebDeps) -> Response:
    deps.journal.resume(_reason(), deps.clock.now())
    deps.worker.wake()
    return jsonify(paused=deps.journal.paused())


def incidents(deps: WebDeps) -> Response:
    """The open incidents with their alerts, for programs."""
    found = [asdict(incident) for incident in deps.journal.open_incidents()]
    return jsonify(mode=deps.config.mode.value, paused=deps.journal.paused(), incidents=found)


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
    deps.journal.check_writable()
    if not deps.worker.alive():
        return Response(
            "the worker has ended or is stuck; see the log, then restart the healer\n", 503, mimetype="text/plain"
        )
    return Response("ready\n", mimetype="text/plain")


def page(deps: WebDeps) -> Response:
    """The page with what a person wants to know first."""
    journal = deps.journal
    text = render(deps.config.mode.value, journal.paused(), journal.open_incidents(), journal.history(SENTENCES))
    return Response(text, mimetype="text/html")


def _reason() -> str:
    """The caller's words for who and why."""
    body = request.get_json(silent=True)
    reason = body.get("reason") if isinstance(body, dict) else None
    return reason if isinstance(reason, str) and reason else f"no reason given, over HTTP from {request.remote_addr}"
