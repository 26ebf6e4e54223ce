"""Fleet: every server at a glance, whether load is even, who differs. For one server, all about it."""

from __future__ import annotations

from grafana.builder.board import Board, Row, uid
from grafana.builder.colours import any_is, steps, words
from grafana.builder.lines import band, timeseries
from grafana.builder.numbers import bar_gauge, stat, tiles
from grafana.builder.panel import Panel, Query
from grafana.builder.table import Column, table
from grafana.builder.variables import choice, query
from grafana.rows.common import BY_SERVER, EVERY, HERE, STATE, STATE_WORDS, data_age, now, states
from grafana.rows.health import health

QUANTILE = choice("quantile", "Quantile", "Of the latency panels.", {"P50": "p50", "P95": "p95", "P99": "p99"}, "P99")
ENGINE = query(
    "engine",
    "Engine",
    "Data parallel engines.",
    'label_values(engine:vllm_requests_running:max{server=~"$server"}, engine)',
    every=".*",
)
TENANT = query(
    "tenant",
    "Tenant",
    "Who asks, as the part inside vLLM tells them apart.",
    "label_values(vllm_tenant_requests_total, tenant)",
    every=".*",
)
NO_PRICE = "no price is set"


def count(title: str, description: str, condition: str, colour: str = "", width: int = 4) -> Panel:
    expr = f"count({condition}) or 0 * count({EVERY})"
    return stat(
        title,
        description,
        now(expr),
        width=width,
        height=3,
        decimals=0,
        thresholds=any_is(colour) if colour else None,
        missing="no servers",
    )


def how_many() -> tuple[Panel, ...]:
    return (
        count("Known", "Servers that anything here has heard of.", EVERY),
        count("Ready", "Servers that serve.", f"{STATE} == 0"),
        count(
            "Degraded or suspicious",
            "Servers that serve badly, or may be about to fail.",
            f"{STATE} > 1 < 4",
            "orange",
        ),
        count("Stalled or down", "Servers that serve nobody.", f"{STATE} > 3 < 6", "red"),
        count("Unknown", "Servers of which nobody can say how they are.", f"{STATE} == 6", "purple", width=3),
        stat(
            "Versions",
            "How many releases of vLLM are in use. More than one: a rollout, or one that was forgotten.",
            now(f"count(count by (version) (vllm_server_info{HERE}))"),
            width=3,
            height=3,
            decimals=0,
            thresholds=steps((1, "green"), (2, "yellow")),
        ),
        data_age(height=3),
    )


def servers() -> tuple[Panel, ...]:
    return (
        tiles(
            "Every server",
            "In the colour of its state. A click shows it alone.",
            now(f"sort_desc({STATE})", BY_SERVER),
            mappings=STATE_WORDS,
            url=f"/d/{uid('fleet')}?var-server=${{__field.labels.server}}&${{__url_time_range}}",
        ),
        states("States", "State by server, of the 25 that were worst in this time.", 25, 24, 10),
        health(),
    )


def even() -> tuple[Panel, ...]:
    return (
        spread("Requests by Server", "Requests per second.", "server:vllm_requests:rate1m", "reqps"),
        spread("Running by Server", "Requests in the running batch.", "server:vllm_requests_running:sum", "short"),
        spread(
            "KV Cache by Server", "Share of the KV cache in use.", "server:vllm_kv_cache_usage_ratio:max", "percentunit"
        ),
        spread(
            "Latency by Server",
            "Whole requests, in the quantile chosen above.",
            "server:vllm_e2e_seconds:${quantile}_2m",
            "s",
        ),
        bar_gauge(
            "Longest Queues",
            "Requests that wait, of the five servers where most do.",
            now(f"topk(5, server:vllm_requests_waiting:sum{HERE})", BY_SERVER),
            unit="short",
            width=8,
            height=6,
            missing="no queue is known",
        ),
        timeseries(
            "Running by Engine",
            "Requests in the batch of each data parallel engine, of the eight that run most. Uneven: the router or "
            "sticky sessions.",
            Query(
                f'topk(8, engine:vllm_requests_running:max{HERE[:-1]}, engine=~"$engine"}})', "{{server}} {{engine}}"
            ),
            height=6,
            decimals=0,
        ),
        table(
            "Releases and Models",
            "What the servers say of themselves. A fleet that should be one thing and is two shows here.",
            (Column("Servers", f"count by (version, model_name) (vllm_server_info{HERE})", decimals=0),),
            keys={"version": "Release", "model_name": "Model"},
            widths={"Release": 100, "Model": 200},
            sort="Servers",
            descending=True,
            width=8,
            height=6,
            missing="No release is known",
        ),
    )


def spread(title: str, what: str, name: str, unit: str) -> Panel:
    said = f"{what} The highest, median and lowest of the chosen servers: a wide band is uneven load."
    of = f"{name}{HERE}"
    return band(title, said, f"max({of})", f"quantile(0.5, {of})", f"min({of})", unit=unit)


def parallel() -> Row:
    return Row(
        "Does a rank hold the others up? (servers with several ranks)",
        (
            timeseries(
                "Step Skew",
                "How much longer the slowest rank of a server is busy than the median one, of the five worst.",
                Query(f"topk(5, vllm_step_skew_ratio{HERE})", BY_SERVER),
                unit="percentunit",
                width=8,
                missing="one rank only",
            ),
            timeseries(
                "Parallel Efficiency",
                "Share of the ranks' time that is no waiting for each other, of the five worst.",
                Query(f"bottomk(5, vllm_parallel_efficiency_ratio{HERE})", BY_SERVER),
                unit="percentunit",
                width=8,
                missing="one rank only",
            ),
            table(
                "Stragglers",
                "Ranks that hold the others up, and why.",
                (
                    Column(
                        "Now",
                        f"max by (server, rank, reason) (vllm_rank_straggler_info{HERE})",
                        mappings=words({1: ("yes", "red")}),
                    ),
                ),
                keys={"server": "Server", "rank": "Rank", "reason": "Reason"},
                sort="Server",
                width=8,
                missing="No straggler",
            ),
        ),
        collapsed=True,
    )


def tenants() -> Row:
    chosen = HERE[:-1] + ', tenant=~"$tenant"}'
    failed = HERE[:-1] + ', tenant=~"$tenant", status!="success"}'
    rate = "[$__rate_interval]"
    return Row(
        "Who asks? (the part inside vLLM)",
        (
            tenant_lines(
                "Requests by Tenant",
                "Finished requests per second, of the ten tenants that ask most.",
                f"vllm_tenant_requests_total{chosen}{rate}",
                "reqps",
            ),
            tenant_lines(
                "Failed by Tenant",
                "Requests per second that failed or were given up, of the ten tenants with most of them.",
                f"vllm_tenant_requests_total{failed}{rate}",
                "reqps",
            ),
            tenant_lines(
                "Tokens by Tenant",
                "Tokens per second, read and generated, of the ten tenants that use most.",
                f"vllm_tenant_tokens_total{chosen}{rate}",
                "suffix: tok/s",
            ),
        ),
        collapsed=True,
    )


def tenant_lines(title: str, description: str, counter: str, unit: str) -> Panel:
    query = Query(f"topk(10, sum by (tenant) (rate({counter})) > 0)", "{{tenant}}")
    return timeseries(title, description, query, unit=unit, missing="no tenant is seen")


def costs() -> Row:
    return Row(
        "What does it cost? (gpu_hour_price in prometheus/thresholds.yml)",
        (
            timeseries(
                "Cost per Hour",
                "Of all chosen servers, in your currency: all GPUs, and the part that went while no request ran.",
                Query(f"sum(server:vllm_gpu_cost_per_hour:sum{HERE})", "all", colour="blue"),
                Query(f"sum(server:vllm_gpu_idle_cost_per_hour:ratio_1h{HERE})", "idle", colour="orange"),
                missing=NO_PRICE,
            ),
            timeseries(
                "Cost per 1,000 Tokens",
                "Of generated tokens over the last hour, of the five servers where they cost most.",
                Query(f"topk(5, server:vllm_gpu_cost_per_1000_tokens:ratio_1h{HERE})", BY_SERVER),
                missing=NO_PRICE,
            ),
            timeseries(
                "Energy per 1,000 Tokens",
                "Of generated tokens over the last hour, of the five servers that take most.",
                Query(f"topk(5, server:vllm_gpu_joules_per_1000_tokens:ratio_1h{HERE})", BY_SERVER),
                unit="joule",
                missing="no GPU tells its power",
            ),
        ),
        collapsed=True,
    )


BOARD = Board(
    uid=uid("fleet"),
    title="vLLM Monitor / Fleet",
    description="Every server at a glance, whether load is even, and who differs. For one server: all about it.",
    rows=(
        Row("", how_many()),
        Row("Which servers are unwell?", servers()),
        Row("Is the load spread evenly?", even()),
        parallel(),
        tenants(),
        costs(),
    ),
    variables=(QUANTILE, ENGINE, TENANT),
)
