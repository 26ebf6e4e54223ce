"""Tables: one row per combination of labels, one column per query."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass

from grafana.builder.colours import MISSING
from grafana.builder.panel import Json, Link, Panel, Query, override

NARROWEST = 60  # pixels: Grafana's own least, 150, hides columns at 1280
NAMES = 200  # of the first key: names of hosts are long


@dataclass(frozen=True)
class Column:
    """`expr` must give the labels of the table's keys and no other, else its values get rows of their own."""

    title: str
    expr: str
    unit: str = "short"
    decimals: int | None = None
    thresholds: Json | None = None
    mappings: tuple[Json, ...] = (MISSING,)
    background: bool = False  # colour the cell, not the text


def table(
    title: str,
    description: str,
    columns: tuple[Column, ...],
    *,
    keys: Mapping[str, str],
    links: Mapping[str, str] | None = None,
    colours: Mapping[str, tuple[Json, ...]] | None = None,
    every: str = "",
    sort: str,
    descending: bool = False,
    width: int = 24,
    height: int = 8,
    missing: str = "nothing",
    more: tuple[Link, ...] = (),
    widths: Mapping[str, int] | None = None,
) -> Panel:
    """`keys`: label -> heading. `links`: heading -> URL behind its cells. `colours`: heading of a key -> its words.

    `every`: PromQL of all rows. With it each column is always there, and a dash where it has no value; without it
    a column vanishes with the last of its series. `sort`: heading that orders the rows. `missing`: an empty table.
    """
    rest = f" or ({every}) * NaN" if every else ""
    return Panel(
        "table",
        title,
        description,
        "short",
        tuple(
            Query(f"({column.expr}){rest}" if rest else column.expr, instant=True, format="table") for column in columns
        ),
        width,
        height,
        options={"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": sort, "desc": descending}]},
        defaults={"custom": {"align": "left", "filterable": False, "minWidth": NARROWEST}, "noValue": missing},
        overrides=(
            *map(_looks, columns),
            *_keys(keys, links or {}, colours or {}, widths or {}),
        ),
        transformations=({"id": "merge", "options": {}}, _arrange(columns, keys)),
        links=more,
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
        properties |= _cells("color-background" if column.background else "color-text")
    return override(column.title, **properties)


def _cells(kind: str) -> Json:
    """`cellOptions` is read from Grafana 9.5 on, `displayMode` before."""
    return {"custom__cellOptions": {"type": kind, "mode": "basic"}, "custom__displayMode": kind}


def _keys(
    keys: Mapping[str, str],
    links: Mapping[str, str],
    colours: Mapping[str, tuple[Json, ...]],
    widths: Mapping[str, int],
) -> list[Json]:
    made = []
    for place, heading in enumerate(keys.values()):
        properties: Json = {"custom__minWidth": widths.get(heading, NAMES if place == 0 else 100)}
        if heading in links:
            url = links[heading]
            properties["links"] = [{"title": "${__value.text}", "url": url, "targetBlank": url.startswith("https:")}]
        if heading in colours:
            properties |= {"mappings": list(colours[heading]), **_cells("color-text")}
        made.append(override(heading, **properties))
    return made
