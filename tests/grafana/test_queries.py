"""The boards' queries in promtool: they parse, and give the values of <board>.yml on the series of scenes.yml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.builder import files
from grafana.builder.page import page
from tests.alerts.toolchain import PROMETHEUS, Tools, output_of
from tests.grafana.written import BOARDS, Object, asked, everything, marks

pytestmark = pytest.mark.alerts

HERE = Path(__file__).resolve().parent
SCENES: dict[str, dict[str, str]] = yaml.safe_load((HERE / "scenes.yml").read_text())
# Board -> scene -> panel, or panel / column -> labels -> value in thousandths. What is not named gives nothing.
EXPECTED: dict[str, dict[str, Any]] = {name: yaml.safe_load((HERE / f"{name}.yml").read_text()) for name in BOARDS}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_query_parses(tools: Tools, board: Object, tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query.expr} for number, query in enumerate(everything(board))]
    file = write(tmp_path / "queries.rules.yml", {"groups": [{"name": "board", "rules": rules}]})
    output_of(tools.promtool, "check", "rules", file)


@pytest.mark.parametrize("scene", SCENES)
def test_panels_show_what_is_expected(tools: Tools, scene: str, tmp_path: Path) -> None:
    """All boards at once: what takes promtool its time is the rules."""
    series = [{"series": series, "values": values} for series, values in SCENES[scene].items()]
    test = {"interval": "5s", "input_series": series, "promql_expr_test": list(checks(scene))}
    rules = [str(file) for file in sorted(PROMETHEUS.glob("rules/*.rules.yml"))]
    content = {"rule_files": rules, "evaluation_interval": "5s", "tests": [test]}
    output_of(tools.promtool, "test", "rules", write(tmp_path / "board.test.yml", content))


def test_nothing_is_expected_of_a_panel_that_is_not_there() -> None:
    for name, board in BOARDS.items():
        expected = {panel for scene in EXPECTED[name].values() for panel in scene}
        assert expected - {panel for panel, _ in named(board)} == set(), name


def test_every_query_is_expected_to_give_something_in_some_scene() -> None:
    for name, board in BOARDS.items():
        expected = {panel for scene in EXPECTED[name].values() for panel in scene}
        assert {panel for panel, _ in named(board)} - expected == set(), name


def test_the_page_says_how_many_panels_have_their_values_checked() -> None:
    checked = {
        (name, panel.partition(" / ")[0])
        for name, scenes in EXPECTED.items()
        for shown in scenes.values()
        for panel, values in shown.items()
        if values and not panel.startswith("annotation ")
    }
    assert len(checked) >= 40
    assert f"expected numbers of {len(checked)} panels, each that asks Prometheus," in page(files.load()).replace(
        "\n", " "
    )


def named(board: Object) -> Iterator[tuple[str, str]]:
    """Queries under the names that <board>.yml has for them."""
    for query in asked(board):
        yield query.name, query.expr
    for query in marks(board):
        yield f"annotation {query.name}", query.expr


def checks(scene: str) -> Iterator[Object]:
    for name, board in BOARDS.items():
        expected = EXPECTED[name].get(scene, {})
        yield from (check(expr, expected.get(panel, {})) for panel, expr in named(board))


def check(expr: str, expected: dict[str, float]) -> Object:
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    # A comparison drops NaN, by which a panel tells what is idle from what is unknown.
    return {"expr": f"round({expr}, 0.001) >= -Inf", "eval_time": "5m", "exp_samples": samples}


def write(file: Path, content: Object) -> Path:
    file.write_text(json.dumps(content))  # JSON is YAML
    return file
