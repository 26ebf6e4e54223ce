"""Panels of states over time: a coloured line a thing."""

from __future__ import annotations

from grafana.builder.panel import Json, Panel, Query


def state_timeline(
    title: str,
    description: str,
    query: Query,
    *,
    mappings: tuple[Json, ...],
    width: int,
    height: int,
    interval: str = "",
) -> Panel:
    """Colour mode fixed: with thresholds Grafana 9.4 ignores the mapped colours."""
    return Panel(
        "state-timeline",
        title,
        description,
        "none",
        (query,),
        width,
        height,
        options={
            "mergeValues": True,
            "showValue": "never",
            "alignValue": "left",
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        defaults={
            "custom": {"fillOpacity": 85, "lineWidth": 0},
            "color": {"mode": "fixed", "fixedColor": "text"},
            "mappings": list(mappings),
        },
        interval=interval,
    )
