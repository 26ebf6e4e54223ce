"""Panels that compare: shares of a whole, classes side by side, one value against another."""

from __future__ import annotations

from grafana.builder.colours import MEANS
from grafana.builder.panel import LAST, Json, Panel, Query, override


def donut(title: str, description: str, query: Query, *, width: int, height: int, missing: str) -> Panel:
    """Shares of a whole, in the colours that their names have everywhere."""
    return Panel(
        "piechart",
        title,
        description,
        "short",
        (query,),
        width,
        height,
        options={
            "pieType": "donut",
            "displayLabels": ["percent"],
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "values": ["value"]},
            "reduceOptions": LAST,
            "tooltip": {"mode": "single", "sort": "none"},
        },
        defaults={"color": {"mode": "palette-classic"}, "noValue": missing, "decimals": 0},
        overrides=tuple(fixed_colours()),
    )


def fixed_colours() -> list[Json]:
    return [override(name, color={"mode": "fixed", "fixedColor": colour}) for name, colour in MEANS.items()]


def classes(title: str, description: str, *queries: Query, unit: str, width: int, height: int, missing: str) -> Panel:
    """A bar a query, side by side, named by its legend."""
    return Panel(
        "barchart",
        title,
        description,
        unit,
        tuple(Query(query.expr, query.legend, instant=True) for query in queries),
        width,
        height,
        options={
            "xField": "Field",
            "orientation": "vertical",
            "showValue": "auto",
            "stacking": "none",
            "groupWidth": 0.7,
            "barWidth": 0.9,
            "legend": {"displayMode": "hidden", "placement": "bottom", "showLegend": False, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        defaults={
            "custom": {"fillOpacity": 70, "lineWidth": 0},
            "color": {"mode": "fixed", "fixedColor": "blue"},
            "min": 0,
            "noValue": missing,
        },
        transformations=(
            {
                "id": "reduce",
                "options": {"reducers": ["lastNotNull"], "mode": "seriesToRows", "includeTimeField": False},
            },
        ),
    )


def scatter(title: str, description: str, x: Query, y: Query, *, width: int, height: int) -> Panel:
    """A point a step: `y` over `x`, by their legends. Units are not drawn on its axes: the legends should name them.

    The manual form of before 10.4, which newer releases migrate; so `custom` must be there and `pluginVersion` not.
    """
    names = {"Value #A": x.legend, "Value #B": y.legend}
    return Panel(
        "xychart",
        title,
        description,
        "short",
        (Query(x.expr, format="table"), Query(y.expr, format="table")),
        width,
        height,
        options={
            "seriesMapping": "manual",
            "dims": {"frame": 0},
            "series": [
                {
                    "x": x.legend,
                    "y": y.legend,
                    "pointColor": {"fixed": "blue"},
                    "pointSize": {"fixed": 6, "min": 1, "max": 20},
                }
            ],
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        defaults={
            "custom": {"show": "points", "pointSize": {"fixed": 6}, "axisPlacement": "auto", "axisLabel": ""},
            "noValue": "no requests",
            "min": 0,
        },
        transformations=(
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {}, "indexByName": {}, "renameByName": names}},
        ),
        interval="30s",
    )
