"""Panels that show numbers: one large, several, with their course, as a gauge, as bars."""

from __future__ import annotations

from dataclasses import replace

from grafana.builder.colours import nothing_is, plain, steps
from grafana.builder.panel import LAST, Json, Link, Panel, Query

_STAT: Json = {"colorMode": "value", "graphMode": "none", "justifyMode": "center", "textMode": "auto"}


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
    decimals: int | None = None,
    shown: str = "auto",
    overrides: tuple[Json, ...] = (),
    links: tuple[Link, ...] = (),
) -> Panel:
    """One big number a query, or its name as `shown` says: auto, name, value_and_name. `missing`: without a series."""
    return Panel(
        "stat",
        title,
        description,
        unit,
        queries,
        width,
        height,
        options={**_STAT, "textMode": shown, "orientation": "auto", "reduceOptions": LAST},
        defaults=_coloured(thresholds or plain(), missing, decimals) | {"mappings": list(mappings)},
        overrides=overrides,
        links=links,
    )


def verdict(
    title: str, description: str, query: Query, *, mappings: tuple[Json, ...], width: int, height: int, missing: str
) -> Panel:
    """A word and a name on a coloured background, to be read from across the room."""
    panel = stat(
        title,
        description,
        query,
        unit="none",
        width=width,
        height=height,
        mappings=mappings,
        missing=missing,
        shown="value_and_name",
    )
    return replace(panel, options={**panel.options, "colorMode": "background", "orientation": "horizontal"})


def tiles(
    title: str,
    description: str,
    query: Query,
    *,
    mappings: tuple[Json, ...],
    url: str,
    width: int = 24,
    height: int = 6,
) -> Panel:
    """A coloured tile a series with its name on it, which leads to `url`."""
    panel = stat(
        title,
        description,
        query,
        unit="none",
        width=width,
        height=height,
        mappings=mappings,
        missing="no servers",
        shown="name",
    )
    links = [{"title": "this server", "url": url, "targetBlank": False}]
    return replace(
        panel,
        options={**panel.options, "colorMode": "background", "text": {"titleSize": 16}},
        defaults={**panel.defaults, "links": links},
    )


def sparkline(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int = 4,
    height: int = 5,
    idle: str,
    missing: str = "unknown",
    decimals: int | None = None,
    links: tuple[Link, ...] = (),
) -> Panel:
    """A number over its course. A query gives NaN where it has nothing to say: the words `idle` stand for that.

    The last point counts, whatever it is; the last that was a number would be that of a server long dead.
    """
    return Panel(
        "stat",
        title,
        description,
        unit,
        queries,
        width,
        height,
        options={
            **_STAT,
            "graphMode": "area",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["last"], "fields": "", "values": False},
        },
        defaults={
            "color": {"mode": "thresholds"},
            "thresholds": steps((0, "blue")),
            "noValue": missing,
            "mappings": list(nothing_is(idle)),
            **({} if decimals is None else {"decimals": decimals}),
        },
        links=links,
    )


def gauge(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    top: float,
    thresholds: Json,
    missing: str = "unknown",
    idle: str = "",
    width: int = 3,
    height: int = 5,
    decimals: int | None = None,
    links: tuple[Link, ...] = (),
) -> Panel:
    """The needle ends at `top`; the number goes on. `idle`: the words for NaN."""
    return Panel(
        "gauge",
        title,
        description,
        unit,
        (query,),
        width,
        height,
        options={"showThresholdLabels": False, "showThresholdMarkers": True, "reduceOptions": LAST},
        defaults=_coloured(thresholds, missing, decimals)
        | {"min": 0, "max": top, "mappings": list(nothing_is(idle)) if idle else []},
        links=links,
    )


def bar_gauge(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    width: int,
    height: int,
    missing: str,
    thresholds: Json | None = None,
    top: float | None = None,
) -> Panel:
    """A bar a series, for a handful of names."""
    return Panel(
        "bargauge",
        title,
        description,
        unit,
        (query,),
        width,
        height,
        options={
            "displayMode": "basic",
            "orientation": "horizontal",
            "showUnfilled": True,
            "minVizHeight": 12,
            "minVizWidth": 0,
            "reduceOptions": LAST,
        },
        defaults=_coloured(thresholds or plain(), missing, None)
        | {"min": 0, "color": {"mode": "thresholds" if thresholds else "fixed", "fixedColor": "blue"}}
        | ({} if top is None else {"max": top}),
    )


def _coloured(thresholds: Json, missing: str, decimals: int | None) -> Json:
    made: Json = {"color": {"mode": "thresholds"}, "thresholds": thresholds, "noValue": missing}
    return made if decimals is None else made | {"decimals": decimals}
