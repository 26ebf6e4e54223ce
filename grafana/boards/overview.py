"""Overview: is all well, what is wrong, where, since when, what does the healer do, does it need a person."""

from __future__ import annotations

from grafana.builder.board import Board, Row, uid
from grafana.builder.colours import MEANS, any_is, kv_cache, nothing_is, plain, up_to
from grafana.builder.limits import alert_limit, limit_near
from grafana.builder.lines import timeseries
from grafana.builder.numbers import gauge, sparkline, stat, verdict
from grafana.builder.panel import Link, Panel, Query
from grafana.rows import healing
from grafana.rows.common import BAD, EVERY, HERE, STATE, STATE_WORDS, data_age, now, or_idle, states
from grafana.rows.health import health
from grafana.rows.requests import error_rate

PERFORMANCE = Link("Performance", uid("performance"))
RESOURCES = Link("Resources", uid("resources"))
ERRORS = Link("Errors", uid("errors"))
FLEET = Link("Fleet", uid("fleet"))
FAILED = f"server:vllm_request_errors:rate1m{HERE}"
E2E = f"server:vllm_e2e_seconds:p99_2m{HERE}"


def well() -> tuple[Panel, ...]:
    return (service(), since(), ready(), healing.firing(), healing.healer(), healing.needs_a_person(), data_age())


def service() -> Panel:
    worst = f"topk(1, {BAD} > 0 < 6) or on () topk(1, {BAD} == 6)"  # what is known to be bad before what is not known
    return verdict(
        "Service",
        "The worst state that a chosen server is in, and which server; how many more are not ready. suspicious: its "
        "canary fails or its engine stands still, and no alert fires yet. unknown: nobody says that it is ready.",
        now(
            f'label_replace(max({BAD}) == 0, "who", "every server", "", "")'
            f" or ({worst}) * on () group_left (more)"
            f' label_replace(count_values("c", count({BAD} > 0) - 1), "more", " and $1 more", "c", "([1-9].*)")',
            "{{who}}{{server}}{{more}}",
        ),
        mappings=STATE_WORDS,
        width=7,
        height=4,
        missing="no servers",
    )


def since() -> Panel:
    worst = f"max({BAD})"
    return stat(
        "For",
        "Since when that is so: all well, or not. Up to 6 hours.",
        now(
            f"(time() - max_over_time(timestamp({worst} == 0)[6h:15s]) and on () {worst} > 0)"
            f" or (time() - max_over_time(timestamp({worst} > 0)[6h:15s]) and on () {worst} == 0)"
            f" or {worst} * NaN"  # for longer than that; where nothing is known there is no number
        ),
        unit="s",
        width=2,
        decimals=0,
        mappings=nothing_is("> 6 h"),
    )


def ready() -> Panel:
    count, bad = f"count({STATE})", f"(count({BAD} > 0 != 2) or 0 * count({STATE}))"
    return stat(
        "Ready",
        "Servers that answer, slow ones too, or that a person has put to sleep, of those that are known.",
        now(
            f'{bad} * on () group_left (r) count_values("r", {count} - {bad})'
            f' * on () group_left (m) count_values("m", {count})',
            "{{r}} / {{m}}",
        ),
        width=3,
        thresholds=any_is("red"),
        shown="name",
        missing="no servers",
        links=(FLEET,),
    )


def guide() -> tuple[Panel, ...]:
    """The seven that the field's guide names."""
    return (
        request_rate(),
        error_rate(
            "The alert HighErrorRate also asks for some traffic, so one failure may colour this without an alert.",
            links=(ERRORS,),
        ),
        p99_latency(),
        throughput(),
        active(),
        kv(),
        gpu(),
    )


def request_rate() -> Panel:
    return sparkline(
        "Request Rate",
        "Requests per second that people send, over 1 minute: without the exporter's canary.",
        Query(or_idle(f"sum(server:vllm_requests_user:rate1m{HERE})")),
        unit="reqps",
        decimals=1,
        idle="no requests",
        links=(PERFORMANCE,),
    )


def p99_latency() -> Panel:
    limit = alert_limit("e2e_p99_seconds")
    return gauge(
        "P99 Latency",
        "99 of 100 requests were answered whole within this time, over 2 minutes, of the slowest server.",
        now(or_idle(f"max({E2E})", f"server:vllm_requests:rate1m{HERE}")),
        unit="s",
        top=2 * limit,
        thresholds=up_to(limit),
        idle="no requests",
        links=(PERFORMANCE,),
    )


def throughput() -> Panel:
    return sparkline(
        "Throughput",
        "Tokens generated per second, over 1 minute.",
        Query(or_idle(f"sum(server:vllm_generation_tokens:rate1m{HERE})")),
        unit="suffix: tok/s",
        decimals=0,
        idle="unknown",
        links=(PERFORMANCE,),
    )


def active() -> Panel:
    return stat(
        "Active Requests",
        "Requests in the running batch, and requests admitted that wait for a place in it.",
        now(f"sum(server:vllm_requests_running:sum{HERE})", "running"),
        now(f"sum(server:vllm_requests_waiting:sum{HERE})", "waiting"),
        width=3,
        height=5,
        decimals=0,
        thresholds=plain(),
        links=(PERFORMANCE,),
    )


def kv() -> Panel:
    return gauge(
        "KV Cache Utilization",
        "Share of the KV cache in use, of the fullest server. Yellow from 80 %: a burst of long prompts fills the "
        "rest. Red from 95 %: sequences are preempted and computed again.",
        now(f"max(server:vllm_kv_cache_usage_ratio:max{HERE})"),
        unit="percentunit",
        top=1,
        thresholds=kv_cache(),
        width=4,
        decimals=0,
        links=(RESOURCES,),
    )


def gpu() -> Panel:
    return gauge(
        "GPU Utilization",
        "Share of the time in which a kernel ran, of all GPUs on average. A GPU at 100 % may well do more.",
        now("avg(vllm_gpu_utilization_percent)"),
        unit="percent",
        top=100,
        thresholds=plain(),
        missing="no GPU",
        decimals=0,
        links=(RESOURCES,),
    )


def courses() -> tuple[Panel, ...]:
    return (
        timeseries(
            "Requests",
            "Per second, over 1 minute: answered, and failed by the server's fault.",
            # What is bad lies below: where there is none of it, its line is on the axis and not on what is good.
            Query(f"sum({FAILED})", "failed", colour=MEANS["failed"]),
            Query(
                f"sum(server:vllm_requests:rate1m{HERE}) - (sum({FAILED}) or 0 * max({EVERY}))",
                "answered",
                colour=MEANS["answered"],
            ),
            unit="reqps",
            stacked=True,
            missing="no requests",
        ),
        timeseries(
            "Latency",
            "Whole requests, from arrival to the last token, over 2 minutes: the slowest server's P99 and the median "
            "server's; to the first token: the slowest server's P95. A gap: no request finished.",
            Query(f"max({E2E})", "whole request P99", colour=MEANS["P99"]),
            Query(f"quantile(0.5, {E2E})", "the same, median server", colour=MEANS["P50"]),
            Query(f"max(server:vllm_ttft_seconds:p95_2m{HERE})", "first token P95", colour="purple"),
            unit="s",
            limit=limit_near("e2e_p99_seconds", E2E),
            missing="no requests",
        ),
        timeseries(
            "Load",
            "Requests in the running batches, and waiting for a place. A queue that stays needs less load or more "
            "replicas, no restart.",
            Query(
                f"sum(max_over_time(server:vllm_requests_waiting:sum{HERE}[$__interval]))",
                "waiting",
                colour=MEANS["waiting"],
            ),
            Query(
                f"sum(max_over_time(server:vllm_requests_running:sum{HERE}[$__interval]))",
                "running",
                colour=MEANS["running"],
            ),
            stacked=True,
            soft_top=5,
            decimals=0,
        ),
    )


BOARD = Board(
    uid=uid("overview"),
    title="vLLM Monitor / Overview",
    description="Is all well, what is wrong, where, since when, what does the healer do, does it need a person.",
    rows=(
        Row("", well()),
        Row("", guide()),
        Row(
            "",
            (
                states("Servers", "State by server, of the ten that were worst in this time.", 10, 15, 7),
                healing.firing_alerts(9, 7),
            ),
        ),
        Row("", courses()),
        Row("Which server is unwell?", (health(),)),
        Row("What does the healer do?", (healing.incidents(16, 8), healing.actions(8, 8))),
    ),
)
