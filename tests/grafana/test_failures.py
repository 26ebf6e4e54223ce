"""Ten failures of the demo: what the boards show of each names its cause, and the page says which panel that is.

failures.yml has the series of each; promtool evaluates all rules and alerts on them. Once more they come one after the
other, in one hour of the same two servers: what is over must not be shown as the cause of what comes next.
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
from tests.alerts.days.course import Line, line
from tests.alerts.toolchain import COMMAND_SECONDS, PROMETHEUS, Tools, output_of
from tests.grafana.test_queries import check, named, write
from tests.grafana.written import BOARDS, Object

WRITTEN: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("failures.yml").read_text())
FAILURES: dict[str, Any] = WRITTEN["failures"]
SERVERS = ("gpu1:8000", "gpu2:8000")
ILL, WELL_AGAIN = 240, 360  # seconds after a failure's series begin
STEP = 5
ITEM = re.compile(r"(?:(?P<gap>_)|(?P<first>-?[\d.e]+)(?P<more>[+-][\d.e]+)?)(?:x(?P<times>\d+))?")


def series(failure: str) -> dict[str, str]:
    well = {name.replace("{server}", server): values for name, values in WRITTEN["well"].items() for server in SERVERS}
    return {**well, **FAILURES[failure]["series"]}


def queries() -> dict[tuple[str, str], str]:
    return {(name, panel): expr for name, board in BOARDS.items() for panel, expr in named(board)}


def checks(failure: str, began: int = 0, alone: bool = True) -> Iterator[Object]:
    """`alone`: with nothing before it, so that a mean of five minutes is one of four, and with the alerts' rules."""
    asked = queries()
    for board, panels in FAILURES[failure]["shown"].items():
        for panel, expected in panels.items():
            expr = asked[board, panel]
            if not alone and "avg_over_time" in expr:
                yield {**check(f"({expr}) > bool 0", dict.fromkeys(expected, 1)), "eval_time": f"{began + ILL}s"}
            elif alone or "alerts" not in panel:
                yield {**check(expr, expected), "eval_time": f"{began + ILL}s"}
    well = check(asked["overview", "Service"], {'{who="every server"}': 0})
    yield {**well, "eval_time": f"{began + WELL_AGAIN}s"}


def samples(values: str) -> list[float | None]:
    """What promtool makes of such a text: 1x3 is 1 and three times more."""
    found: list[float | None] = []
    for item in ITEM.finditer(values):
        times = int(item["times"] or 0)
        if item["gap"]:
            found += [None] * (times or 1)
        else:
            found += [float(item["first"]) + float(item["more"] or 0) * number for number in range(times + 1)]
    return found


def hour() -> list[Line]:
    """The failures one after the other. A counter begins anew with each, as after a restart of what counts."""
    pieces = [series(failure) for failure in FAILURES]
    length = WELL_AGAIN // STEP
    found = []
    for name in dict.fromkeys(name for piece in pieces for name in piece):
        whole: list[float | None] = []
        for number, piece in enumerate(pieces):
            later = number * WELL_AGAIN if "timestamp_seconds" in name else 0
            values = samples(str(piece[name]))[:length] if name in piece else []
            whole += [value if value is None else value + later for value in values]
            whole += [None] * (length * (number + 1) - len(whole))
        bare, _, labels = name.partition("{")
        found.append(line(bare, dict(re.findall(r'(\w+)="([^"]*)"', labels)), whole))
    return found


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


@pytest.mark.alerts
@pytest.mark.timeout(COMMAND_SECONDS + 20)
def test_in_an_hour_of_all_ten_each_panel_names_the_cause_of_its_own(tools: Tools, tmp_path: Path) -> None:
    test = {
        "interval": f"{STEP}s",
        "input_series": hour(),
        "promql_expr_test": [
            each
            for number, failure in enumerate(FAILURES)
            for each in checks(failure, number * WELL_AGAIN, alone=False)
        ],
    }
    rules = [str(file) for file in sorted(PROMETHEUS.glob("rules/*.rules.yml"))]  # alerts would cost a minute
    content = {"rule_files": rules, "evaluation_interval": f"{STEP}s", "tests": [test]}
    output_of(tools.promtool, "test", "rules", write(tmp_path / "hour.test.yml", content))


def test_a_text_of_values_means_what_it_means_to_promtool() -> None:
    assert samples("0x1 _x2 1.5 0+5x2") == [0.0, 0.0, None, None, 1.5, 0.0, 5.0, 10.0]


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
