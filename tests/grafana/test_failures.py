"""Ten failures of the demo: what the boards show of each names its cause, and the page says which panel that is.

failures.yml has the series of each; promtool evaluates all rules and alerts on them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.builder import files
from grafana.builder.page import page
from tests.alerts.toolchain import PROMETHEUS, Tools, output_of
from tests.grafana.test_queries import check, named, write
from tests.grafana.written import BOARDS, Object

WRITTEN: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("failures.yml").read_text())
FAILURES: dict[str, Any] = WRITTEN["failures"]
SERVERS = ("gpu1:8000", "gpu2:8000")
ILL, WELL_AGAIN = "4m", "6m"


def series(failure: str) -> dict[str, str]:
    well = {name.replace("{server}", server): values for name, values in WRITTEN["well"].items() for server in SERVERS}
    return {**well, **FAILURES[failure]["series"]}


def queries() -> dict[tuple[str, str], str]:
    return {(name, panel): expr for name, board in BOARDS.items() for panel, expr in named(board)}


def checks(failure: str) -> Iterator[Object]:
    asked = queries()
    for board, panels in FAILURES[failure]["shown"].items():
        for panel, expected in panels.items():
            yield {**check(asked[board, panel], expected), "eval_time": ILL}
    yield {**check(asked["overview", "Service"], {'{who="every server"}': 0}), "eval_time": WELL_AGAIN}


@pytest.mark.alerts
@pytest.mark.parametrize("failure", FAILURES)
def test_the_panel_names_the_cause(tools: Tools, failure: str, tmp_path: Path) -> None:
    test = {
        "interval": "5s",
        "input_series": [{"series": name, "values": values} for name, values in series(failure).items()],
        "promql_expr_test": list(checks(failure)),
    }
    kinds = (
        ("rules", "alerts") if "alerts" in json.dumps(FAILURES[failure]["shown"]) else ("rules",)
    )  # alerts cost time
    rules = [str(file) for kind in kinds for file in sorted(PROMETHEUS.glob(f"{kind}/*.{kind}.yml"))]
    content = {"rule_files": rules, "evaluation_interval": "5s", "tests": [test]}
    output_of(tools.promtool, "test", "rules", write(tmp_path / "failure.test.yml", content))


def test_the_page_leads_from_each_failure_to_the_panel_that_is_tested() -> None:
    rows = {row[0].strip("` "): row for row in table()}
    assert set(rows) == set(FAILURES)
    assert len(rows) == 10
    for failure, row in rows.items():
        there = re.findall(r"\*([^*]+)\*", row[-1])
        shown = [panel for panels in FAILURES[failure]["shown"].values() for panel in panels]
        tested = {word for panel in shown for word in panel.split(" / ")}
        assert there, failure
        assert set(there) <= tested, failure


def test_no_cause_is_further_away_than_three_clicks() -> None:
    assert [row[0] for row in table() if int(row[2].partition(":")[0]) > 3] == []


def table() -> list[list[str]]:
    text = page(files.load()).partition("## Ten failures of the demo")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("| `")]
