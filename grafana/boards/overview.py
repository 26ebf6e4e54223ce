"""Overview: whether all is well, on one screen and a half."""

from __future__ import annotations

from grafana.builder.board import FIRING, Board, Row
from grafana.builder.colours import any_is, kv_cache, up_to
from grafana.builder.kinds import gauge, stat, timeseries
from grafana.builder.limits import alert_limit, limit_series
from grafana.builder.panel import Panel, Query
from grafana.rows import healing
from grafana.rows.common import BY_SERVER, HERE, last_updated, now
from grafana.rows.health import health

UID = "vllm-monitor-overview"
KNOWN = f"server:vllm_known:group{HERE}"


def well() -> tuple[Panel, ...]:
    return (
        stat(
            "Servers not ready",
            "Known servers whose /health is not fine now, and those of which no exporter says that it is. "
            "A server that still loads its model counts too.",
            now(f"count({KNOWN} unless on (server) max by (server) (vllm_server_ready) == 1) or 0 * count({KNOWN})"),
            thresholds=any_is("red"),
            missing="no servers",
        ),
        stat(
            "Stalled engines",
            "Engines that have work and make no progress, though /health may well be 200. "
            "The healer restarts such a server, where it may.",
            now(f"sum(min by (server) (vllm_server_stalled{HERE}))"),
            thresholds=any_is("red"),
        ),
        stat(
            "Alerts",
            "Firing alerts of the chosen servers and those about no server. "
            "Unknown while the Watchdog alert does not fire: then none can.",
            now(f'count({FIRING}) or 0 * count(ALERTS{{alertstate="firing", severity="none"}})'),
            thresholds=any_is("red"),
        ),
        healing.open_incidents(),
        healing.mode(),
        last_updated(),
    )


def answered() -> tuple[Panel, ...]:
    return (
        error_rate(),
        p99_latency(),
        timeseries(
            "Request rate",
            "Requests per second that people send, over 1 minute: without the exporter's canary.",
            Query(f"server:vllm_requests_user:rate1m{HERE}", BY_SERVER),
            unit="reqps",
        ),
        timeseries(
            "P99 latency by server",
            "Whole requests, from arrival to the last token, over 2 minutes. A gap: no request finished.",
            Query(f"server:vllm_e2e_seconds:p99_2m{HERE}", BY_SERVER),
            unit="s",
            limit=limit_series("e2e_p99_seconds"),
        ),
    )


def error_rate() -> Panel:
    limit = alert_limit("error_ratio")
    return gauge(
        "Error rate",
        "Share of requests that fail by the server's fault, over 1 minute, of the worst server. "
        "The alert HighErrorRate also asks for some traffic, so one failure may colour this without an alert.",
        now(f"topk(1, server:vllm_request_errors:ratio_rate1m{HERE})", BY_SERVER),
        unit="percentunit",
        top=4 * limit,
        thresholds=up_to(limit),
        missing="no requests",
    )


def p99_latency() -> Panel:
    limit = alert_limit("e2e_p99_seconds")
    return gauge(
        "P99 latency",
        "99 of 100 requests were answered whole within this time, over 2 minutes, of the slowest server.",
        now(f"topk(1, server:vllm_e2e_seconds:p99_2m{HERE})", BY_SERVER),
        unit="s",
        top=2 * limit,
        thresholds=up_to(limit),
        missing="no requests",
    )


def busy() -> tuple[Panel, ...]:
    return (
        gauge(
            "KV cache",
            "Share of the KV cache in use, of the fullest server. Yellow from 80 %: a burst of long prompts fills the "
            "rest. Red from 95 %: sequences are preempted and computed again.",
            now(f"topk(1, server:vllm_kv_cache_usage_ratio:max{HERE})", BY_SERVER),
            unit="percentunit",
            top=1,
            thresholds=kv_cache(),
            missing="unknown",
        ),
        timeseries(
            "Active requests",
            "Requests in the running batch.",
            Query(f"server:vllm_requests_running:sum{HERE}", BY_SERVER),
        ),
        timeseries(
            "Waiting requests",
            "Requests admitted and not yet running. A queue that stays needs less load or more replicas, no restart.",
            Query(f"server:vllm_requests_waiting:sum{HERE}", BY_SERVER),
            limit=limit_series("queue_waiting_requests"),
        ),
        timeseries(
            "Throughput",
            "Tokens generated per second, over 1 minute. LowThroughput fires below the line while requests run.",
            Query(f"server:vllm_generation_tokens:rate1m{HERE}", BY_SERVER),
            unit="suffix: tokens/s",
            limit=limit_series("throughput_tokens_per_second"),
        ),
    )


BOARD = Board(
    uid=UID,
    title="vLLM Monitor / Overview",
    description="Whether all is well with the vLLM servers, and what the healer does about what is not.",
    rows=(
        Row("Does anything need me now?", well()),
        Row("Are requests answered, and how fast?", answered()),
        Row("How much work is there?", busy()),
        Row("Which server is unwell?", (health(link=f"/d/{UID}"),)),
        Row("What is wrong, and what became of it?", (healing.firing_alerts(), *healing.incidents())),
        Row("What does the healer do?", healing.actions()),
    ),
)
