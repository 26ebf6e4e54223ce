"""Panels that show one thing: number, gauge, lines, heatmap, text, list of alerts. Tables are in table.py."""

from __future__ import annotations

from grafana.builder.colours import plain
from grafana.builder.panel import Json, Panel, Query, override

LIMIT = "alert limit"
_LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def stat(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    width: int = 4,
    height: int = 4,
    thresholds: Json | None = None,
    mappings: tuple[Json, ...] = (),
    missing: str = "unknown",
) -> Panel:
    """One big number a query. `missing` is shown where there is no series."""
    shown = {"colorMode": "value", "graphMode": "none", "justifyMode": "center", "textMode": "auto"}
    return Panel(
        "stat",
        title,
        description,
        unit,
        queries,
        width,
        height,
        options={**shown, "orientation": "auto", "reduceOptions": _LAST},
        defaults=_coloured(thresholds or plain(), missing) | {"mappings": list(mappings)},
    )


def gauge(
    title: str, description: str, query: Query, *, unit: str, top: float, thresholds: Json, missing: str, width: int = 6
) -> Panel:
    """The needle ends at `top`; the number goes on."""
    return Panel(
        "gauge",
        title,
        description,
        unit,
        (query,),
        width,
        height=8,
        options={"showThresholdLabels": False, "showThresholdMarkers": True, "reduceOptions": _LAST},
        defaults=_coloured(thresholds, missing) | {"min": 0, "max": top},
    )


def timeseries(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    width: int = 6,
    limit: str = "",
    stacked: bool = False,
    stepped: bool = False,
) -> Panel:
    """Lines from 0. `limit` is the PromQL of a threshold, drawn dashed and red."""
    drawn: Json = {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter" if stepped else "linear",
        "lineWidth": 1,
        "fillOpacity": 40 if stacked else 8,
        "showPoints": "auto",  # a value with none beside it is a dot
        "spanNulls": False,  # no data is a gap, not a line
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    return Panel(
        "timeseries",
        title,
        description,
        unit,
        (*queries, *([Query(limit, LIMIT)] if limit else [])),
        width,
        height=8,
        options={"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
        defaults={"custom": drawn, "color": {"mode": "palette-classic"}, "min": 0},
        overrides=(_dashed(LIMIT),) if limit else (),
    )


def heatmap(title: str, description: str, buckets: str, *, unit: str = "s", width: int = 12) -> Panel:
    """`buckets` is the PromQL of one rate per `le`."""
    return Panel(
        "heatmap",
        title,
        description,
        unit,
        (Query(buckets, "{{le}}", format="heatmap"),),
        width,
        height=8,
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "show": True, "yHistogram": True},  # `show` before 10.4, `mode` since
            "yAxis": {"axisPlacement": "left", "unit": unit},
        },
    )


def text(title: str, description: str, markdown: str, *, width: int = 24, height: int = 3) -> Panel:
    return Panel(
        "text", title, description, "none", (), width, height, options={"mode": "markdown", "content": markdown}
    )


def alert_list(title: str, description: str, *, width: int = 8, height: int = 8) -> Panel:
    """Grafana's own list, by its own view of every data source: it knows neither $server nor $datasource."""
    shown = {"firing": True, "pending": True, "error": True, "noData": False, "normal": False}
    return Panel(
        "alertlist",
        title,
        description,
        "none",
        (),
        width,
        height,
        options={
            "viewMode": "list",
            "groupMode": "default",
            "groupBy": [],
            "maxItems": 20,
            "sortOrder": 3,
            "dashboardAlerts": False,
            "alertName": "",
            "alertInstanceLabelFilter": "",
            "stateFilter": shown,
        },
    )


def _coloured(thresholds: Json, missing: str) -> Json:
    return {"color": {"mode": "thresholds"}, "thresholds": thresholds, "noValue": missing}


def _dashed(name: str) -> Json:
    return override(
        name,
        color={"mode": "fixed", "fixedColor": "red"},
        custom__lineStyle={"fill": "dash", "dash": [8, 6]},
        custom__fillOpacity=0,
        custom__stacking={"mode": "none", "group": "limit"},
    )
