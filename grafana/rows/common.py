"""What the queries of most panels share, and the panel that every board has."""

from __future__ import annotations

from grafana.builder.kinds import stat
from grafana.builder.panel import Panel, Query

HERE = '{server=~"$server"}'  # the chosen servers
BY_SERVER = "{{server}}"


def now(expr: str, legend: str = "") -> Query:
    return Query(expr, legend, instant=True)


def last_updated() -> Panel:
    """`up` has a sample of each scrape, also of one that failed."""
    return stat(
        "Last updated",
        "When Prometheus last scraped a server or an exporter. Older than a few seconds: what you see is old.",
        now('1000 * max(timestamp(up{job=~"vllm|exporter"}))'),
        unit="time:HH:mm:ss",
        missing="never",
    )
