"""What a panel is, whatever its kind: words, queries, looks and size."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = dict[str, object]

COLUMNS = 24  # Grafana's grid is always this wide
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
LOKI: Json = {"type": "loki", "uid": "${loki}"}
LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}


@dataclass(frozen=True)
class Query:
    """PromQL. An instant one gives the present value or nothing; a range would show the last value of a dead server."""

    expr: str
    legend: str = ""  # "{{server}}" puts a label's value there
    instant: bool = False
    format: str = "time_series"  # or table, heatmap
    colour: str = ""  # of its line; without one, by Grafana's palette


@dataclass(frozen=True)
class Link:
    """From a panel to the board that explains it, with the same time and choices."""

    title: str
    uid: str

    def json(self) -> Json:
        return {
            "title": self.title,
            "url": f"/d/{self.uid}?${{__url_time_range}}&${{__all_variables}}",
            "targetBlank": False,
        }


@dataclass(frozen=True)
class Panel:
    """One panel before it has a place. `width` in columns of the grid, `height` in its rows of 30 pixels."""

    kind: str  # Grafana's name of the panel plug-in
    title: str
    description: str
    unit: str  # https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options/#unit
    queries: tuple[Query, ...]
    width: int
    height: int
    options: Json
    defaults: Json = field(default_factory=dict)  # of fields: colour, thresholds, limits, mappings
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()
    interval: str = ""  # the least distance of two points; empty: the data source's
    links: tuple[Link, ...] = ()
    datasource: Json = field(default_factory=lambda: DATASOURCE)

    def json(self, number: int, x: int, y: int) -> Json:
        """As Grafana has it, at a place of the grid."""
        made: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": self.datasource,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [
                target(query, letter, self.datasource)
                for query, letter in zip(self.queries, string.ascii_uppercase, strict=False)
            ],
            "fieldConfig": self._fields(),
            "options": self.options,
            "transformations": list(self.transformations),
        }
        if self.interval:
            made["interval"] = self.interval
        if self.links:
            made["links"] = [link.json() for link in self.links]
        return made

    def _fields(self) -> Json:
        defaults: Json = {"unit": self.unit}
        return {"defaults": defaults | self.defaults, "overrides": [*coloured(self.queries), *self.overrides]}


def target(query: Query, letter: str, datasource: Json) -> Json:
    return {
        "refId": letter,
        "datasource": datasource,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": query.format,
    }


def coloured(queries: tuple[Query, ...]) -> list[Json]:
    """The colour of each line that has one of its own."""
    return [
        override(query.legend, color={"mode": "fixed", "fixedColor": query.colour}) for query in queries if query.colour
    ]


def override(name: str, **properties: object) -> Json:
    """Looks of the field of that name only. `custom__lineWidth` is Grafana's custom.lineWidth."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }
