"""Which server is unwell: a line a server."""

from __future__ import annotations

from grafana.builder.colours import any_is, kv_cache, up_to, words
from grafana.builder.limits import alert_limit
from grafana.builder.panel import Panel
from grafana.builder.table import Column, table
from grafana.rows.common import HERE

YES_NO = words({0: ("no", "red"), 1: ("yes", "green")})
FINE_STALLED = words({0: ("fine", "green"), 1: ("stalled", "red")})


def health(link: str) -> Panel:
    """A server's name leads to `link`, a board's path, for that server alone."""
    return table(
        "Health by server",
        "One line a server, the unready first. A dash: unknown, because the exporter is silent or vLLM does not say. "
        "Ready: /health is fine. Scraped: Prometheus reads its /metrics. Canary: the last one-token request was "
        "answered. No progress for: while there is work, since when no value that the engine pushes has changed.",
        (*state(), *load()),
        keys={"server": "Server"},
        links={"Server": f"{link}?var-server=${{__value.raw}}&${{__url_time_range}}"},
        sort="Ready",
    )


def state() -> tuple[Column, ...]:
    """Where two exporters watch a server, one that reaches it shows that it lives; all must agree that it stalls."""
    return (
        Column("Ready", largest("vllm_server_ready"), mappings=YES_NO),
        Column("Scraped", largest("server:vllm_up:max"), mappings=YES_NO),
        Column("Progress", smallest("vllm_server_stalled"), mappings=FINE_STALLED),
        Column("No progress for", smallest("server:vllm_progress_age_seconds:min"), "s", decimals=0),
        Column("Canary", largest("vllm_canary_success"), mappings=YES_NO),
        Column("Orphans", largest("vllm_process_orphans"), thresholds=any_is("red")),
    )


def load() -> tuple[Column, ...]:
    p99, errors = up_to(alert_limit("e2e_p99_seconds")), up_to(alert_limit("error_ratio"))
    return (
        Column("Running", largest("server:vllm_requests_running:sum"), decimals=0),
        Column("Waiting", largest("server:vllm_requests_waiting:sum"), decimals=0),
        Column("KV cache", largest("server:vllm_kv_cache_usage_ratio:max"), "percentunit", thresholds=kv_cache()),
        Column("P99 latency", largest("server:vllm_e2e_seconds:p99_2m"), "s", thresholds=p99),
        Column("Errors", largest("server:vllm_request_errors:ratio_rate1m"), "percentunit", thresholds=errors),
    )


def largest(name: str) -> str:
    return f"max by (server) ({name}{HERE})"


def smallest(name: str) -> str:
    return f"min by (server) ({name}{HERE})"
