"""Whether requests are answered."""

from __future__ import annotations

from grafana.builder.colours import up_to
from grafana.builder.limits import alert_limit
from grafana.builder.numbers import gauge
from grafana.builder.panel import Link, Panel
from grafana.rows.common import HERE, now, or_idle


def error_rate(more: str = "", *, width: int = 3, height: int = 5, links: tuple[Link, ...] = ()) -> Panel:
    """`more`: what else its description says."""
    limit = alert_limit("error_ratio")
    return gauge(
        "Error Rate",
        f"Share of requests that fail by the server's fault, over 1 minute, of the worst server. {more}".strip(),
        now(or_idle(f"max(server:vllm_request_errors:ratio_rate1m{HERE})", f"server:vllm_requests:rate1m{HERE}")),
        unit="percentunit",
        top=4 * limit,
        thresholds=up_to(limit),
        idle="no requests",
        width=width,
        height=height,
        decimals=1,
        links=links,
    )
