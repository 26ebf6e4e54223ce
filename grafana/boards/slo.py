"""SLO: whether what was promised is kept, how fast the budget burns, and what burned it."""

from __future__ import annotations

from grafana.builder.board import Board, Row, uid
from grafana.builder.colours import down_to
from grafana.builder.lines import bars, timeseries
from grafana.builder.numbers import bar_gauge
from grafana.builder.panel import Panel, Query
from grafana.builder.table import Column, table
from grafana.rows import healing
from grafana.rows.common import HERE, data_age, now

OF = f'{HERE[:-1]}, model_name=~"$model_name|"}}'
# An objective that holds for all models together has no such label.
MODEL = 'label_replace({}, "model_name", "all models", "model_name", "")'
NO_SLO = "no objective has data"
AFTER_AN_HOUR = "known after an hour of requests"
BY = "slo, model_name"
LEFT = down_to(0, 0.25)


def errors(window: str) -> str:
    """How many times faster than allowed, by objective and model, of the worst server."""
    allowed = f"(1 - server:vllm_slo:target{OF})"
    return f"max by ({BY}) (server:vllm_slo_errors:ratio_{window}{OF} / on (server, model_name, slo) {allowed})"


def kept() -> tuple[Panel, ...]:
    return (
        bar_gauge(
            "Budget Left",
            "Share of the 30 days' budget of failures that is left, of the worst server of each objective and model. "
            "Below 0 the promise is broken. With a shorter history: of the time that there is.",
            now(MODEL.format(f"min by ({BY}) (server:vllm_slo_budget_left:ratio_30d{OF})"), "{{slo}} {{model_name}}"),
            unit="percentunit",
            width=8,
            height=9,
            missing=AFTER_AN_HOUR,
            thresholds=LEFT,
            top=1,
        ),
        table(
            "Objectives",
            "What was promised (prometheus/slo.yml), what is kept, of the worst server. Attained: in the last hour.",
            (
                Column(
                    "Promised", MODEL.format(f"max by ({BY}) (server:vllm_slo:target{OF})"), "percentunit", decimals=2
                ),
                Column(
                    "Attained, 1 h",
                    MODEL.format(f"min by ({BY}) (1 - server:vllm_slo_errors:ratio_1h{OF})"),
                    "percentunit",
                    decimals=2,
                ),
                Column(
                    "Attained, 3 d",
                    MODEL.format(f"min by ({BY}) (1 - server:vllm_slo_errors:ratio_3d{OF})"),
                    "percentunit",
                    decimals=2,
                ),
                Column(
                    "Budget left",
                    MODEL.format(f"min by ({BY}) (server:vllm_slo_budget_left:ratio_30d{OF})"),
                    "percentunit",
                    decimals=0,
                    thresholds=LEFT,
                ),
                Column(
                    "Events/s, 1 h",
                    MODEL.format(f"round(sum by ({BY}) (server:vllm_slo_events:rate1h{OF}), 0.1)"),
                    decimals=1,
                ),
            ),
            keys={"slo": "Objective", "model_name": "Model"},
            every=MODEL.format(f"group by ({BY}) (server:vllm_slo:target{OF})"),
            widths={"Objective": 120, "Model": 160},
            sort="Budget left",
            width=14,
            height=9,
            missing=NO_SLO,
        ),
        data_age(height=9),
    )


def burning() -> tuple[Panel, ...]:
    legend = "{{slo}} {{model_name}}"
    return (
        burn("Burn Rate, 1 Hour", "1h", "Above 14.4 a month's budget is gone in two days: SloBurnFast.", legend),
        burn("Burn Rate, 6 Hours", "6h", "Above 6 it is gone in five days: SloBurnSlow.", legend),
        timeseries(
            "Budget over Time",
            "Share of the 30 days' budget that is left, of the worst server.",
            Query(f"min by ({BY}) (server:vllm_slo_budget_left:ratio_30d{OF})", legend),
            unit="percentunit",
            width=12,
            from_0=False,
            missing=AFTER_AN_HOUR,
        ),
        timeseries(
            "Attainment by Server",
            "Share of what was promised that is kept over 30 minutes, of the five servers that keep least.",
            Query(f"bottomk(5, 1 - server:vllm_slo_errors:ratio_30m{OF})", "{{server}} {{slo}}"),
            unit="percentunit",
            width=12,
            from_0=False,
            missing=NO_SLO,
        ),
    )


def burn(title: str, window: str, means: str, legend: str) -> Panel:
    return timeseries(
        title,
        f"How many times faster than allowed the budget is used, over {window}; 1 is just allowed. {means}",
        Query(errors(window), legend),
        width=12,
        soft_top=2,
        missing=NO_SLO,
    )


def burned() -> tuple[Panel, ...]:
    return (
        bars(
            "Minutes of Alerts",
            "Minutes in which an alert fired, by alert, a bar an hour.",
            Query(
                'sum by (alertname) (count_over_time(ALERTS{alertstate="firing", severity=~"critical|warning",'
                ' notify!="people", server=~"$server|"}[$__interval:15s])) / 4',
                "{{alertname}}",
            ),
            width=12,
            interval="1h",
            missing="No alert fired",
        ),
        healing.incidents(12, 8),
    )


BOARD = Board(
    uid=uid("slo"),
    title="vLLM Monitor / SLO",
    description="Whether what was promised is kept, how fast the budget burns, and what burned it.",
    rows=(
        Row("Do we keep our word?", kept()),
        Row("How fast does the budget burn?", burning()),
        Row("What burned it?", burned()),
    ),
)
