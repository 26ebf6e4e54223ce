"""Errors: what fails, when, where, and why."""

from __future__ import annotations

from grafana.builder.board import Board, Row, uid
from grafana.builder.colours import MEANS, any_is
from grafana.builder.lines import bars
from grafana.builder.numbers import stat
from grafana.builder.panel import Json, Panel, Query
from grafana.builder.shares import donut
from grafana.builder.table import Column, table
from grafana.builder.texts import log_lines
from grafana.builder.variables import loki
from grafana.rows import healing
from grafana.rows.common import HERE, appeared, data_age, now, states
from grafana.rows.requests import error_rate

FAILED = f"vllm_request_errors_total{HERE}"
NONE_FAILED = "No request failed"
NOTABLE = '{server=~"$server", severity!="info"}'
ENDS = {
    "clean": "green",
    "sigterm": "blue",
    "stopped": "blue",
    "error": "red",
    "sigkill": "semi-dark-red",
    "oom": "purple",
}
CAUSES: tuple[Json, ...] = (
    {
        "type": "value",
        "options": {
            cause: {"text": cause, "color": colour, "index": place}
            for place, (cause, colour) in enumerate(ENDS.items())
        },
    },
)


SEEN = f"max(vllm_server_ready{HERE})"  # an exporter looks
SCRAPED = f"max(server:vllm_up:max{HERE} == 1)"


def in_range(title: str, description: str, expr: str, colour: str, known: str = SEEN, width: int = 4) -> Panel:
    """A count over the chosen time; 0 in green only where somebody counts and it did not happen."""
    return stat(
        title,
        f"{description} In the chosen time.",
        now(f"round({expr}) or 0 * {known}"),
        decimals=0,
        width=width,
        thresholds=any_is(colour),
    )


def grew(family: str, more: str = "") -> str:
    return appeared(family, "", "exporter", f'{{server=~"$server"{more}}}', "$__range")


def http_5xx(window: str, seconds: str) -> str:
    """How many in the window: the count of those who cannot say more."""
    return f"sum(avg_over_time(server:vllm_http_5xx:rate1m{HERE}[{window}])) * {seconds}"


def out_of_memory() -> str:
    """Kills by the kernel, and what vLLM's logs say; either may be all that there is."""
    killed = grew("vllm_cgroup_memory_events_total", ', event="oom_kill"')
    said = grew("vllm_log_events_total", ', class=~".*oom.*|.*out_of_memory.*"')
    return f"{killed} + ({said} or 0 * {killed}) or {said}"


def much() -> tuple[Panel, ...]:
    return (
        error_rate(width=4, height=4),
        in_range(
            "Failed requests",
            "Requests that failed, by the part inside vLLM; without it, those that vLLM answered with 5xx.",
            f"sum(increase({FAILED}[$__range])) or {http_5xx('$__range', '$__range_s')}",
            "red",
            SCRAPED,
        ),
        in_range(
            "Engines that died",
            "Engine processes that ended without being asked to.",
            grew("vllm_process_exits_total", ', role="engine_core", cause!~"clean|sigterm|stopped"'),
            "red",
        ),
        in_range(
            "OOM Events",
            "Processes that the kernel killed for lack of memory in the servers' cgroups, and CUDA out of memory in "
            "their logs.",
            out_of_memory(),
            "red",
        ),
        in_range("Restarts", "Servers that were started anew.", grew("vllm_process_restarts_total"), "orange", width=3),
        in_range(
            "Canary failures",
            "One-token requests of the exporter that were not answered.",
            grew("vllm_canary_requests_total", ', result!~"ok|not_applicable"'),
            "orange",
            width=3,
        ),
        data_age(),
    )


def by_type(window: str, seconds: str) -> str:
    """By what went wrong; where nobody counts that, HTTP 5xx in one."""
    answered = f'label_replace({http_5xx(window, seconds)} > 0, "type", "HTTP 5xx", "", "")'
    return f"sum by (type) (increase({FAILED}[{window}])) > 0 or {answered} unless on () {FAILED}"


def kinds() -> tuple[Panel, ...]:
    return (
        donut(
            "Error Rate by Type",
            "Failed requests in the chosen time by what went wrong; docs/inside-vllm.md says what each type is. "
            "Without the part inside vLLM: HTTP 5xx, all in one.",
            now(by_type("$__range", "$__range_s"), "{{type}}"),
            width=6,
            height=8,
            missing=NONE_FAILED,
        ),
        bars(
            "Error Timeline",
            "Failed requests, a bar a minute, by type.",
            Query(by_type("$__interval", "$__interval_ms / 1000"), "{{type}}"),
            width=18,
            height=8,
            missing=NONE_FAILED,
            colours=dict(MEANS),
        ),
    )


def where() -> tuple[Panel, ...]:
    keys = "server, role, cause, code"
    return (
        healing.alerts_over_time(14, 9),
        table(
            "How servers ended last",
            "Which process went first, why, and how long ago. clean with code 0 may still be a crash: a server whose "
            "engine dies ends so.",
            (
                Column(
                    "Ago",
                    f"time() - max by ({keys}) (vllm_lifecycle_last_exit_timestamp_seconds{HERE})",
                    "s",
                    decimals=0,
                ),
            ),
            keys={"server": "Server", "role": "First to go", "cause": "Cause", "code": "Code"},
            colours={"Cause": CAUSES},
            widths={"Server": 160, "First to go": 110, "Cause": 80, "Code": 60},
            sort="Ago",
            width=10,
            height=9,
            missing="No server has ended",
        ),
        states("Servers", "State by server, of the ten that were worst in this time.", 10, 14, 8),
        bars(
            "Lifecycle Changes",
            "Changes of state by the state that was reached.",
            Query(appeared("vllm_lifecycle_transitions_total", "to", "exporter"), "{{to}}"),
            width=10,
            missing="No state has changed",
        ),
    )


def requests() -> tuple[Panel, ...]:
    by = "server, type"
    return (
        table(
            "Failed Request Details",
            "Failed requests in the chosen time by server and type, from the part inside vLLM. Each single one is in "
            "the row below, where Loki is.",
            (
                Column("Requests", f"round(sum by ({by}) (increase({FAILED}[$__range]))) > 0", decimals=0),
                Column("Per second now", f"sum by ({by}) (rate({FAILED}[$__rate_interval])) > 0", "reqps", decimals=2),
            ),
            keys={"server": "Server", "type": "Type"},
            sort="Requests",
            descending=True,
            width=12,
            missing=NONE_FAILED,
        ),
        bars(
            "Log Events",
            "Lines of vLLM's logs that mean something, warnings and worse, of the ten classes that are seen most.",
            Query(
                f"topk(10, {appeared('vllm_log_events_total', 'class', 'exporter', NOTABLE)})",
                "{{class}}",
            ),
            width=12,
            missing="No line of note, or no log is followed",
        ),
        table(
            "GPU Errors (XID)",
            "Codes that the driver reported, of all hosts. docs/collectors/gpu.md says what each means.",
            (Column("Count", "max by (instance, gpu_id, xid, class) (vllm_gpu_xid_errors_total) > 0", decimals=0),),
            keys={"instance": "Host", "gpu_id": "GPU", "xid": "XID", "class": "Do"},
            sort="Count",
            descending=True,
            width=12,
            missing="No XID",
        ),
        bars(
            "OOM Kills by Host",
            "Processes that the kernel killed for lack of memory, on the whole host, not only vLLM's.",
            Query("sum by (instance) (increase(vllm_host_oom_kills_total[$__interval])) > 0", "{{instance}}"),
            width=12,
            missing="Nothing was killed",
        ),
    )


def lines() -> tuple[Panel, ...]:
    return (
        log_lines(
            "Failed Requests",
            "One line a failed request, from the part inside vLLM: type, status, endpoint, tenant, times, tokens; "
            "never a prompt.",
            '{kind="failed_request", server=~"$server"} | json',
        ),
        log_lines(
            "Events",
            "What else happened: starts, ends, changes of state, lines of note.",
            '{server=~"$server", kind!="failed_request"}',
        ),
    )


BOARD = Board(
    uid=uid("errors"),
    title="vLLM Monitor / Errors",
    description="What fails, when, where, and why.",
    rows=(
        Row("", much()),
        Row("What kind of failure, and when?", kinds()),
        Row("Which server, and why?", where()),
        Row("Which request, which line?", requests()),
        Row("Which single request? (needs Loki: LOKI_URL)", lines(), collapsed=True),
    ),
    variables=(loki(),),
)
