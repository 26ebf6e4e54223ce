"""Which server is unwell: a line a server."""

from __future__ import annotations

from grafana.builder.colours import STATES, kv_cache, steps, up_to, words
from grafana.builder.limits import alert_limit
from grafana.builder.panel import Panel
from grafana.builder.table import Column, table
from grafana.rows.common import EVERY, STATE, TO_ONE_SERVER, largest, smallest

CANARY = words({0: ("no answer", "red"), 1: ("answers", "green")})
# Asleep is the least of worries, so it goes to the end of the table.
SORTED = words({code if code < 7 else code - 8: word for code, word in STATES.items()})
LAST_END = 'max by (server) (time() - vllm_lifecycle_last_exit_timestamp_seconds{server=~"$server"})'


def health() -> Panel:
    """A server's name leads to the fleet's board, for that server alone."""
    return table(
        "Health by server",
        "One line a server, the worst first. A dash: unknown, because the exporter is silent or vLLM does not say. "
        "Canary: the last one-token request was answered. No progress for: while there is work, since when no value "
        "that the engine pushes has changed. Ended: how long ago a process of it ended last.",
        (*state(), *load()),
        keys={"server": "Server"},
        links={"Server": TO_ONE_SERVER},
        widths={"Server": 240},
        every=f"group by (server) ({EVERY})",
        sort="State",
        descending=True,
        missing="No server is known",
    )


def state() -> tuple[Column, ...]:
    """Where two exporters watch a server, one that reaches it shows that it lives."""
    return (
        Column("State", f"{STATE} - 8 * ({STATE} == bool 7)", mappings=SORTED, background=True),
        Column("Canary", largest("vllm_canary_success"), mappings=CANARY),
        Column(
            "No progress for",
            f"floor({smallest('server:vllm_progress_age_seconds:min')})",
            "s",
            decimals=0,
            thresholds=steps((10, "orange"), (30, "red")),
        ),
        Column("Ended", LAST_END, "s", decimals=0),
    )


def load() -> tuple[Column, ...]:
    p99, errors = up_to(alert_limit("e2e_p99_seconds")), up_to(alert_limit("error_ratio"))
    return (
        Column("Running", largest("server:vllm_requests_running:sum"), decimals=0),
        Column("Waiting", largest("server:vllm_requests_waiting:sum"), decimals=0),
        Column(
            "KV cache",
            largest("server:vllm_kv_cache_usage_ratio:max"),
            "percentunit",
            decimals=0,
            thresholds=kv_cache(),
        ),
        Column("P99 latency", largest("server:vllm_e2e_seconds:p99_2m"), "s", thresholds=p99),
        Column(
            "Errors", largest("server:vllm_request_errors:ratio_rate1m"), "percentunit", decimals=1, thresholds=errors
        ),
        Column("Tokens/s", largest("server:vllm_generation_tokens:rate1m"), decimals=0),
    )
