"""The boards as they are written in grafana/dashboards, read as Grafana would."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from grafana.builder.files import DASHBOARDS

Object = dict[str, Any]

FILES = sorted(DASHBOARDS.glob("*.json"))
BOARDS: dict[str, Object] = {file.stem: json.loads(file.read_text()) for file in FILES}

# What Grafana puts in the place of a variable: several choices become one group of a regular expression.
CHOSEN = {
    "server": "(gpu1:8000|gpu2:8000)",
    "model_name": ".*",
    "host": ".*",
    "gpu": ".*",
    "engine": ".*",
    "tenant": ".*",
    "of": "e2e",
    "quantile": "p99",
    # Grafana's own, of a range of 5 minutes.
    "__interval": "1m",
    "__interval_ms": "60000",
    "__rate_interval": "1m",
    "__range": "5m",
    "__range_s": "300",
    "__from": "0",
}
VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|([a-zA-Z_]\w*))")


@dataclass(frozen=True)
class Asked:
    """One query: the panel's title, the column's for tables, and the PromQL with the variables filled in."""

    panel: str
    column: str
    expr: str

    @property
    def name(self) -> str:
        return f"{self.panel} / {self.column}" if self.column else self.panel


def panels(board: Object) -> list[Object]:
    """Also those inside a collapsed row."""
    inside = [panel for row in board["panels"] for panel in row.get("panels", ())]
    return [panel for panel in [*board["panels"], *inside] if panel["type"] != "row"]


def asked(board: Object) -> list[Asked]:
    return [
        Asked(panel["title"], column(panel, target), fill(target["expr"]))
        for panel in panels(board)
        for target in panel["targets"]
        if panel["type"] != "logs"
    ]


def column(panel: Object, target: Object) -> str:
    """The heading that a table gives to a query's values; elsewhere the name of one line of several."""
    names: dict[str, str] = {
        name: heading
        for step in panel["transformations"]
        for name, heading in step["options"].get("renameByName", {}).items()
    }
    several = len(panel["targets"]) > 1 and target["legendFormat"] != "__auto"
    return names.get(f"Value #{target['refId']}", target["legendFormat"] if several else "")


def marks(board: Object) -> list[Asked]:
    return [Asked(note["name"], "", fill(note["expr"])) for note in board["annotations"]["list"]]


def selectors(board: Object) -> list[Asked]:
    """What the choices of the variables are read from."""
    found = {item["name"]: item["query"]["query"] for item in board["templating"]["list"] if item["type"] == "query"}
    return [
        Asked(name, "", fill(text.removeprefix("label_values(").rpartition(",")[0])) for name, text in found.items()
    ]


def everything(board: Object) -> list[Asked]:
    return [*asked(board), *marks(board), *selectors(board)]


def fill(expr: str) -> str:
    return VARIABLE.sub(lambda found: CHOSEN[found[1] or found[2]], expr)


def variables_in(value: object) -> set[str]:
    """Names of the variables of the board's own that any text inside uses; Grafana's begin with two underscores."""
    found = VARIABLE.findall(json.dumps(value))
    return {name for pair in found for name in pair if name and not name.startswith("__")}
