"""Tables: one row per combination of labels, one column per query."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass

from grafana.builder.colours import MISSING
from grafana.builder.panel import Json, Panel, Query, override


@dataclass(frozen=True)
class Column:
    """`expr` must give the labels of the table's keys and no other, else its values get rows of their own."""

    title: str
    expr: str
    unit: str = "short"
    decimals: int | None = None
    thresholds: Json | None = None
    mappings: tuple[Json, ...] = (MISSING,)


def table(
    title: str,
    description: str,
    columns: tuple[Column, ...],
    *,
    keys: Mapping[str, str],
    links: Mapping[str, str] | None = None,
    sort: str,
    descending: bool = False,
    width: int = 24,
    height: int = 8,
) -> Panel:
    """`keys`: label -> heading. `links`: heading -> URL behind its cells. `sort`: heading that orders the rows."""
    return Panel(
        "table",
        title,
        description,
        "short",
        tuple(Query(column.expr, instant=True, format="table") for column in columns),
        width,
        height,
        options={"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": sort, "desc": descending}]},
        defaults={"custom": {"align": "left", "filterable": False}},
        overrides=(*map(_looks, columns), *(_link(heading, url) for heading, url in (links or {}).items())),
        transformations=({"id": "merge", "options": {}}, _arrange(columns, keys)),
    )


def _arrange(columns: tuple[Column, ...], keys: Mapping[str, str]) -> Json:
    """Grafana calls the column of a query `Value #A`, or `Value` where there is one query only."""
    found = (
        ["Value"] if len(columns) == 1 else [f"Value #{letter}" for letter in string.ascii_uppercase[: len(columns)]]
    )
    headings = {**keys, **dict(zip(found, (column.title for column in columns), strict=True))}
    options: Json = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(headings)},
        "renameByName": headings,
    }
    return {"id": "organize", "options": options}


def _looks(column: Column) -> Json:
    properties: Json = {"unit": column.unit, "mappings": list(column.mappings)}
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.thresholds is not None:
        properties["thresholds"] = column.thresholds
        properties["color"] = {"mode": "thresholds"}
    if column.thresholds is not None or column.mappings != (MISSING,):
        properties["custom__cellOptions"] = {"type": "color-text"}
    return override(column.title, **properties)


def _link(heading: str, url: str) -> Json:
    return override(heading, links=[{"title": "${__value.text}", "url": url, "targetBlank": url.startswith("https:")}])
