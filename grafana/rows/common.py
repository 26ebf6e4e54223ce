"""What more than one board shows."""

from __future__ import annotations

from grafana.builder.board import uid
from grafana.builder.colours import STATES, steps, words
from grafana.builder.numbers import stat
from grafana.builder.panel import Panel, Query
from grafana.builder.states import state_timeline

HERE = '{server=~"$server"}'
BY_SERVER = "{{server}}"
EVERY = f"server:vllm_known:group{HERE}"
STATE = f"server:vllm_state:code{HERE}"
# Asleep or stopped by a person is no worse than ready, whatever its number.
BAD = f"({STATE} * ({STATE} < bool 7))"
STATE_WORDS = words(STATES)[:1]
RUNBOOKS = "https://github.com/vllm-monitor/vllm-monitor/blob/main/docs/runbooks"
TO_ONE_SERVER = f"/d/{uid('fleet')}?var-server=${{__value.raw}}&${{__url_time_range}}"


def now(expr: str, legend: str = "") -> Query:
    """The present value."""
    return Query(expr, legend, instant=True)


def largest(name: str) -> str:
    return f"max by (server) ({name}{HERE})"


def smallest(name: str) -> str:
    return f"min by (server) ({name}{HERE})"


def or_idle(expr: str, known: str = EVERY) -> str:
    """NaN where there are servers and `expr`, which has no labels, gives nothing: idle is told from unknown."""
    return f"({expr}) or max({known}) * NaN"


def data_age(height: int = 4) -> Panel:
    """Stands at the upper right of each board."""
    return stat(
        "Age",
        "How old the newest sample of a server or an exporter is. When this grows, all other numbers stand still.",
        now('round(time() - max(timestamp(up{job=~"vllm|exporter"})))'),
        unit="s",
        decimals=0,
        width=2,
        height=height,
        thresholds=steps((0, "green"), (15, "yellow"), (60, "red")),
        missing="no data",
    )


def states(title: str, description: str, most: int, width: int, height: int) -> Panel:
    """State by server over time, of the `most` servers that were worst in the range."""
    return state_timeline(
        title,
        description,
        Query(f"{STATE} and on (server) topk({most}, max_over_time(({STATE} < 7)[$__range:1m] @ end()))", BY_SERVER),
        mappings=STATE_WORDS,
        width=width,
        height=height,
    )


def appeared(family: str, by: str, job: str, selector: str = HERE, window: str = "$__interval") -> str:
    """How often a counter grew in each bar, by a label.

    Many a series begins with its first event. That one counts too, where its target was scraped a bar before already;
    else the series is only new to this Prometheus.
    """
    of = f"{family}{selector}"
    first = f'{of} unless {of} offset {window} and on (job, instance) (up{{job="{job}"}} offset {window} == 1)'
    return f"sum by ({by}) (increase({of}[{window}]) > 0 or ({first}))"


def named_server(expr: str) -> str:
    """A dash as the server of what is about none: an empty cell would say what an empty table says."""
    return f'label_replace({expr}, "server", "–", "server", "")'
