"""Performance: how fast answers are, where their time goes, what limits it."""

from __future__ import annotations

from grafana.builder.board import Board, Row, uid
from grafana.builder.colours import MEANS
from grafana.builder.limits import limit_near
from grafana.builder.lines import bars, heatmap, timeseries
from grafana.builder.panel import Panel, Query
from grafana.builder.shares import classes, scatter
from grafana.builder.table import Column, table
from grafana.builder.texts import text
from grafana.builder.variables import choice
from grafana.rows.common import BY_SERVER, HERE, data_age

E2E, TTFT, ITL = "server:vllm_e2e_seconds", "server:vllm_ttft_seconds", "server:vllm_inter_token_seconds"
SIZES = ((0, 1), (1, 4), (4, 16), (16, 64), (64, 256), (256, None))
MODEL = '{model_name=~"$model_name"}'
OF = choice(
    "of",
    "Heatmap of",
    "Which time the heatmap shows.",
    {"whole request": "e2e", "first token": "ttft", "between tokens": "inter_token", "queue": "queue"},
    "whole request",
)


def quantile(share: float, family: str) -> str:
    """Of all chosen servers together: their buckets are added up, quantiles cannot be."""
    return f"histogram_quantile({share}, sum by (le) ({family}_bucket:rate2m{HERE})) >= 0"


def percentiles(
    title: str, description: str, family: str, shares: tuple[tuple[str, float], ...], limit: str = "", width: int = 7
) -> Panel:
    lines = (Query(quantile(share, family), name, colour=MEANS[name]) for name, share in shares)
    return timeseries(title, description, *lines, unit="s", width=width, limit=limit, missing="no requests")


def fast() -> tuple[Panel, ...]:
    usual = (("P50", 0.5), ("P95", 0.95), ("P99", 0.99))
    return (
        percentiles(
            "Latency Percentiles",
            "Whole requests, from arrival to the last token, of all chosen servers together, over 2 minutes.",
            E2E,
            (*usual, ("P99.9", 0.999)),
            limit_near("e2e_p99_seconds", quantile(0.99, E2E)),
            width=8,
        ),
        percentiles(
            "Time to First Token",
            "From arrival to the first token: the wait in the queue and the reading of the prompt.",
            TTFT,
            usual,
        ),
        percentiles(
            "Inter-Token Latency",
            "Between two tokens of one answer: how fast the text flows for a reader.",
            ITL,
            usual,
        ),
        data_age(height=8),
        heatmap(
            "Latency Heatmap",
            "How many requests a second took how long; what is measured is chosen above. Two bands are two kinds of "
            "requests; a band that climbs is a queue.",
            f"sum by (le) (server:vllm_${{of}}_seconds_bucket:rate2m{HERE})",
        ),
        scatter(
            "TTFT vs Total Latency",
            "A point each 30 s: the median whole request over the median first token. Points that move right wait for "
            "their start; points that move up only generate more slowly, or more.",
            Query(quantile(0.5, TTFT), "first token P50 (s)"),
            Query(quantile(0.5, E2E), "whole request P50 (s)"),
            width=12,
            height=9,
        ),
    )


def time() -> tuple[Panel, ...]:
    phases = (
        Query(f"avg(server:vllm_{phase}_seconds:mean_2m{HERE})", phase, colour=MEANS[phase])
        for phase in ("queue", "prefill", "decode")
    )
    return (
        timeseries(
            "Request Duration Breakdown",
            "Mean time of the requests that finished in the last 2 minutes: in the queue, reading the prompt "
            "(prefill), generating (decode). Queue grows: too much load. Prefill: long prompts. Decode: large batches.",
            *phases,
            unit="s",
            stacked=True,
            missing="no requests",
        ),
        timeseries(
            "Token Throughput",
            "Tokens per second, over 1 minute: generated, and read from prompts.",
            Query(f"sum(server:vllm_generation_tokens:rate1m{HERE})", "generated", colour="green"),
            Query(f"sum(server:vllm_prompt_tokens:rate1m{HERE})", "read", colour="purple"),
            unit="suffix: tok/s",
        ),
        classes(
            "Throughput by Batch Size",
            "Tokens generated per second while that many requests ran, on average over the chosen time. Where the bars "
            "stop growing, larger batches only add waiting.",
            *map(of_size, SIZES),
            unit="suffix: tok/s",
            width=8,
            height=8,
            missing="no requests",
        ),
    )


def of_size(bounds: tuple[int, int | None]) -> Query:
    low, high = bounds
    running = f"avg_over_time(sum(server:vllm_requests_running:sum{HERE})[1m:15s])"
    within = f"({running}) > {low}" + ("" if high is None else f" <= {high}")
    name = "just 1" if high == 1 else f"> {low}" if high is None else f"{low + 1}-{high}"
    tokens = f"sum(server:vllm_generation_tokens:rate1m{HERE})"
    return Query(f"avg_over_time(({tokens} and on () ({within}))[$__range:15s])", name)


def limits() -> tuple[Panel, ...]:
    kv = f"server:vllm_kv_cache_usage_ratio:max{HERE}"
    return (
        timeseries(
            "KV Cache Utilization",
            "Share of the KV cache in use: the fullest server, and the mean of all.",
            Query(f"max(max_over_time({kv}[$__interval]))", "fullest", colour="dark-blue"),
            Query(f"avg({kv})", "mean", colour="super-light-blue"),
            unit="percentunit",
            width=6,
            height=7,
        ),
        timeseries(
            "Waiting by Reason",
            "Requests that wait. capacity: for room in the batch or the KV cache. deferred: for something from "
            "elsewhere, such as an adapter or KV blocks. Releases before 0.20 do not say why: all.",
            Query(
                f"sum by (reason) (server_reason:vllm_requests_waiting:sum{HERE})"
                f' or on () label_replace(sum(server:vllm_requests_waiting:sum{HERE}), "reason", "all", "", "")',
                "{{reason}}",
            ),
            width=6,
            height=7,
            stacked=True,
            soft_top=5,
            decimals=0,
        ),
        timeseries(
            "Preemptions",
            "Requests thrown out of a full KV cache and computed again, per second. More than a few: fewer requests at "
            "once, shorter prompts, or more memory.",
            Query(f"topk(5, server:vllm_preemptions:rate1m{HERE})", BY_SERVER),
            unit="ops",
            width=6,
            height=7,
            soft_top=1,
        ),
        timeseries(
            "Prefix Cache Hits",
            "Share of prompt tokens that need not be computed again.",
            Query(f"max(server:vllm_prefix_cache_hits:ratio_rate5m{HERE})", "best", colour="dark-blue"),
            Query(f"avg(server:vllm_prefix_cache_hits:ratio_rate5m{HERE})", "mean", colour="super-light-blue"),
            unit="percentunit",
            width=6,
            height=7,
            missing="no prefix cache",
        ),
    )


def models() -> Panel:
    every = f"group by (model_name) (server_model:vllm_known:group{MODEL})"
    return table(
        "Models",
        "The chosen models now. A name narrows the board to it.",
        (
            Column("Servers", f"count by (model_name) (server_model:vllm_known:group{MODEL})", decimals=0),
            Column("Running", f"sum by (model_name) (engine:vllm_requests_running:max{MODEL})", decimals=0),
            Column("Waiting", f"sum by (model_name) (engine:vllm_requests_waiting:max{MODEL})", decimals=0),
            Column("Tokens/s", f"sum by (model_name) (model:vllm_generation_tokens:rate1m{MODEL})", decimals=0),
            Column("First token P95", f"max by (model_name) (model:vllm_ttft_seconds:p95_2m{MODEL})", "s"),
            Column("P99 latency", f"max by (model_name) (model:vllm_e2e_seconds:p99_2m{MODEL})", "s"),
        ),
        keys={"model_name": "Model"},
        links={"Model": f"/d/{uid('performance')}?var-model_name=${{__value.raw}}&${{__url_time_range}}"},
        widths={"Model": 300},
        every=every,
        sort="Waiting",
        descending=True,
        height=6,
        missing="No model is known",
    )


def optional() -> tuple[Row, ...]:
    return (
        Row(
            "Does speculative decoding pay? (vllm serve --speculative-config)",
            (
                timeseries(
                    "Drafted Tokens Accepted",
                    "Share of the drafted tokens that could be kept. The rest was computed in vain.",
                    Query(f"server:vllm_spec_decode_accepted:ratio_rate2m{HERE}", BY_SERVER),
                    unit="percentunit",
                    width=24,
                    missing="speculative decoding is off",
                ),
            ),
            collapsed=True,
        ),
        Row(
            "Who uses the LoRA adapters? (vllm serve --enable-lora, with the part inside vLLM)",
            (
                bars(
                    "Requests by Adapter",
                    "Running and waiting requests of each adapter, of the ten that have most.",
                    Query(
                        f"topk(10, sum by (adapter) (vllm_lora_requests{HERE}))",
                        "{{adapter}}",
                    ),
                    width=16,
                    missing="no adapter is used",
                ),
                text(
                    "What turns this on",
                    "How to see adapters.",
                    "Adapters are seen by the [part inside vLLM](https://github.com/vllm-monitor/vllm-monitor/blob/main/docs/inside-vllm.md).",
                    width=8,
                    height=8,
                ),
            ),
            collapsed=True,
        ),
    )


BOARD = Board(
    uid=uid("performance"),
    title="vLLM Monitor / Performance",
    description="How fast answers are, where their time goes, and what limits it.",
    rows=(
        Row("How fast are answers?", fast()),
        Row("Where does the time go, and what comes out?", time()),
        Row("What limits it?", limits()),
        Row("Which model?", (models(),)),
        *optional(),
    ),
    variables=(OF,),
)
