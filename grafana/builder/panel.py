"""What a panel is, whatever its kind: words, queries, looks and size."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = dict[str, object]

COLUMNS = 24  # Grafana's grid is always this wide
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """PromQL. An instant one gives the present value or nothing; a range would show the last value of a dead server."""

    expr: str
    legend: str = ""  # "{{server}}" puts a label's value there
    instant: bool = False
    format: str = "time_series"  # or table, heatmap


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

    def json(self, number: int, x: int, y: int) -> Json:
        """As Grafana has it, at a place of the grid."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [
                target(query, letter) for query, letter in zip(self.queries, string.ascii_uppercase, strict=False)
            ],
            "fieldConfig": {"defaults": {"unit": self.unit, **self.defaults}, "overrides": list(self.overrides)},
            "options": self.options,
            "transformations": list(self.transformations),
        }


def target(query: Query, letter: str) -> Json:
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": query.format,
    }


def override(name: str, **properties: object) -> Json:
    """Looks of the field of that name only. `custom__lineWidth` is Grafana's custom.lineWidth."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }
