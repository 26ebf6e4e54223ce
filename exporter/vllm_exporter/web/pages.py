"""The exporter's pages: metrics, health, readiness, and a page for people."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from vllm_exporter import __version__
from vllm_exporter.clock import Clock
from vllm_exporter.config.config import Config
from vllm_exporter.facts.events import Event, Subscription
from vllm_exporter.facts.facts import Gpus, Lifecycles, Sights, Trees
from vllm_exporter.facts.latest import Board
from vllm_exporter.metrics.gzip import Piece, gzip, join
from vllm_exporter.metrics.render import CONTENT_TYPES, Format
from vllm_exporter.run.runner import View
from vllm_exporter.web.http1 import Request, Response
from vllm_exporter.web.summary import HealthFacts, make_stats
from vllm_exporter.web.summary_text import make_summary

EVENTS = 5  # number of events that GET /health shows


class Recent:
    """Keeps the last EVENTS events above info. Used by one thread."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._last: deque[Event] = deque(maxlen=EVENTS)

    def events(self) -> tuple[Event, ...]:
        self._last.extend(event for event in self._subscription.drain() if event.severity != "info")
        return tuple(self._last)


class Site(Protocol):
    """Everything that the pages show."""

    config: Config
    clock: Clock
    board: Board
    recent: Recent

    def metrics(self, text_format: Format) -> list[Piece]: ...

    def views(self) -> tuple[View, ...]: ...


def answer(request: Request, site: Site) -> Response:
    """Returns the reply to a request."""
    page = PAGES.get(request.path)
    if page is None:
        return Response(404, f"no page {request.path[:200]}; there are {', '.join(PAGES)}\n".encode())
    if request.method not in ("GET", "HEAD"):
        return Response(405, b"only GET and HEAD\n", headers=(("Allow", "GET, HEAD"),))
    return page(request, site)


def metrics(request: Request, site: Site) -> Response:
    text_format: Format = "openmetrics" if request.accepts_openmetrics else "text"
    page, vary = site.metrics(text_format), ("Vary", "Accept, Accept-Encoding")
    if request.accepts_gzip:
        return Response(200, gzip(page), CONTENT_TYPES[text_format], (("Content-Encoding", "gzip"), vary))
    return Response(200, join(page), CONTENT_TYPES[text_format], (vary,))


def health(request: Request, site: Site) -> Response:
    """Returns {"stats": …, "summary": …}, for programs and for people."""
    return Response(200, json.dumps(health_facts(site)).encode() + b"\n", "application/json")


def health_facts(site: Site) -> dict[str, Any]:
    """Returns the content of GET /health. GPUs and servers that were not seen for 15 s count as unknown."""
    known = HealthFacts(
        now=site.clock.wall(),
        servers=tuple(target.server for target in site.config.targets),
        views=site.views(),
        sights=site.board.latest(Sights),
        trees=site.board.latest(Trees),
        gpus=site.board.latest(Gpus),
        lifecycles=site.board.latest(Lifecycles),
        events=site.recent.events(),
        threads=threading.active_count(),
        health_timeout=site.config.probe.health_timeout,
    )
    stats = make_stats(known)
    return {"stats": stats, "summary": make_summary(stats)}


def healthy(request: Request, site: Site) -> Response:
    """Returns 200 whenever the process answers, whatever the collectors do."""
    return Response(200, b"healthy\n")


def ready(request: Request, site: Site) -> Response:
    """Returns 200 when /metrics is complete: each collector has finished a run, with success or not."""
    waiting = [view.name for view in site.views() if view.result == "not_run"]
    if waiting:
        return Response(503, f"not ready: waiting for the first run of {', '.join(waiting)}\n".encode())
    return Response(200, b"ready\n")


def landing(request: Request, site: Site) -> Response:
    servers = [f"<li>{escape(target.server)}</li>" for target in site.config.targets]
    rows = [_row(view) for view in site.views()]
    nothing = "<li>none: set VLLM_TARGETS=host:port, or targets in exporter.yml</li>"
    html = LANDING.format(version=__version__, servers="\n".join(servers) or nothing, rows="\n".join(rows))
    return Response(200, html.encode("utf-8", errors="replace"), "text/html; charset=utf-8")


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _row(view: View) -> str:
    cells = (view.name, view.result.replace("_", " "), f"{view.duration * 1000:.1f} ms", str(view.errors), view.detail)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


PAGES: dict[str, Callable[[Request, Site], Response]] = {
    "/": landing,
    "/metrics": metrics,
    "/health": health,
    "/-/healthy": healthy,
    "/-/ready": ready,
}

LANDING = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>vllm-exporter</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }}
table {{ border-collapse: collapse; }}
td, th {{ text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #ccc; }}
</style>
</head>
<body>
<h1>vllm-exporter {version}</h1>
<p><a href="/metrics">metrics</a> · <a href="/health">health</a> ·
<a href="/-/healthy">healthy</a> · <a href="/-/ready">ready</a></p>
<h2>Servers watched</h2>
<ul>
{servers}
</ul>
<h2>Collectors</h2>
<table>
<tr><th>collector</th><th>last run</th><th>took</th><th>failures</th><th>reason</th></tr>
{rows}
</table>
</body>
</html>
"""
