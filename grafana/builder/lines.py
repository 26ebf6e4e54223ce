"""Panels over time: lines, bands, bars, heatmaps."""

from __future__ import annotations

from grafana.builder.panel import Json, Panel, Query, override

LIMIT = "alert limit"
_LEGEND: Json = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_TOOLTIP: Json = {"mode": "multi", "sort": "desc"}


def timeseries(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    width: int = 8,
    height: int = 8,
    limit: str = "",
    stacked: bool = False,
    missing: str = "no data",
    interval: str = "",
    mirrored: tuple[str, ...] = (),
    soft_top: float | None = None,
    decimals: int | None = None,
    from_0: bool = True,
) -> Panel:
    """Lines, as a rule from 0. `limit`: PromQL of a threshold, dashed and red. `mirrored`: legends drawn downwards."""
    drawn = _line(30 if stacked else 0, stacked)
    if soft_top is not None:
        drawn["axisSoftMax"] = soft_top
    defaults: Json = {"custom": drawn, "color": {"mode": "palette-classic"}, "noValue": missing}
    if from_0 and not mirrored:
        defaults["min"] = 0
    if decimals is not None:
        defaults["decimals"] = decimals
    down = tuple(override(legend, custom__transform="negative-Y") for legend in mirrored)
    return Panel(
        "timeseries",
        title,
        description,
        unit,
        (*queries, *([Query(limit, LIMIT)] if limit else [])),
        width,
        height,
        options={"legend": _LEGEND, "tooltip": _TOOLTIP},
        defaults=defaults,
        overrides=(*down, _dashed(LIMIT)) if limit else down,
        interval=interval,
    )


def band(
    title: str,
    description: str,
    highest: str,
    median: str,
    lowest: str,
    *,
    unit: str,
    width: int = 6,
    height: int = 7,
    missing: str = "no data",
) -> Panel:
    """Highest, median and lowest of many servers, the room between them filled: forty lines would say nothing."""
    queries = (
        Query(highest, "highest", colour="dark-blue"),
        Query(median, "median", colour="blue"),
        Query(lowest, "lowest", colour="super-light-blue"),
    )
    return Panel(
        "timeseries",
        title,
        description,
        unit,
        queries,
        width,
        height,
        options={"legend": _LEGEND, "tooltip": _TOOLTIP},
        defaults={"custom": _line(0, False), "color": {"mode": "palette-classic"}, "min": 0, "noValue": missing},
        overrides=(override("highest", custom__fillBelowTo="lowest", custom__fillOpacity=15),),
    )


def bars(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    width: int = 8,
    height: int = 8,
    missing: str,
    interval: str = "1m",
    colours: dict[str, str] | None = None,
) -> Panel:
    """Counts of events, stacked, one bar an `interval`. A line would go on where its series has ended."""
    drawn = _line(80, True) | {"drawStyle": "bars", "lineWidth": 0, "barAlignment": -1}
    named = (override(name, color={"mode": "fixed", "fixedColor": colour}) for name, colour in (colours or {}).items())
    return Panel(
        "timeseries",
        title,
        description,
        unit,
        queries,
        width,
        height,
        options={"legend": _LEGEND, "tooltip": _TOOLTIP},
        defaults={
            "custom": drawn | {"axisSoftMax": 1},
            "color": {"mode": "palette-classic"},
            "min": 0,
            "noValue": missing,
        },
        overrides=tuple(named),
        interval=interval,
    )


def heatmap(title: str, description: str, buckets: str, *, unit: str = "s", width: int = 12, height: int = 9) -> Panel:
    """`buckets` is the PromQL of one rate per `le`."""
    return Panel(
        "heatmap",
        title,
        description,
        unit,
        (Query(buckets, "{{le}}", format="heatmap"),),
        width,
        height,
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "show": True, "yHistogram": True},  # `show` before 10.4, `mode` since
            "yAxis": {"axisPlacement": "left", "unit": unit},
        },
        defaults={"noValue": "no requests"},
    )


def _line(fill: int, stacked: bool) -> Json:
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",  # steps are drawn on to the right edge, past the end of their data
        "lineWidth": 1 if stacked else 2,
        "fillOpacity": fill,
        "showPoints": "auto",  # a value with none beside it is a dot
        "spanNulls": False,  # no data is a gap, not a line
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }


def _dashed(name: str) -> Json:
    return override(
        name,
        color={"mode": "fixed", "fixedColor": "red"},
        custom__lineStyle={"fill": "dash", "dash": [8, 6]},
        custom__lineWidth=1,
        custom__fillOpacity=0,
        custom__stacking={"mode": "none", "group": "limit"},
    )
