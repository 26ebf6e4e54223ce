"""The boards' queries in promtool: they parse, and give the values of <board>.yml on its series."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.toolchain import PROMETHEUS, Tools, output_of
from tests.grafana.written import BOARDS, Object, asked, everything, marks, panels

pytestmark = pytest.mark.alerts

HERE = Path(__file__).resolve().parent


def scenes() -> list[Any]:
    read = ((name, yaml.safe_load((HERE / f"{name}.yml").read_text())) for name in BOARDS)
    return [pytest.param(name, scene, id=f"{name}: {scene['scene']}") for name, found in read for scene in found]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_query_parses(tools: Tools, board: Object, tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query.expr} for number, query in enumerate(everything(board))]
    file = write(tmp_path / "queries.rules.yml", {"groups": [{"name": "board", "rules": rules}]})
    output_of(tools.promtool, "check", "rules", file)


@pytest.mark.parametrize(("name", "scene"), scenes())
def test_panels_show_what_is_expected(tools: Tools, name: str, scene: Object, tmp_path: Path) -> None:
    queries = dict(named(BOARDS[name]))
    assert scene["expect"].keys() - queries.keys() == set()
    series = [{"series": series, "values": values} for series, values in scene["series"].items()]
    checks = [check(expr, scene["expect"].get(panel, {})) for panel, expr in queries.items()]
    test = {"interval": "5s", "input_series": series, "promql_expr_test": checks}
    rules = [str(file) for file in sorted(PROMETHEUS.glob("rules/*.rules.yml"))]
    content = {"rule_files": rules, "evaluation_interval": "5s", "tests": [test]}
    output_of(tools.promtool, "test", "rules", write(tmp_path / "board.test.yml", content))


def test_every_query_is_expected_to_give_something_in_some_scene() -> None:
    for name, board in BOARDS.items():
        expected = {panel for scene in yaml.safe_load((HERE / f"{name}.yml").read_text()) for panel in scene["expect"]}
        assert {panel for panel, _ in named(board)} - expected == set()


def named(board: Object) -> Iterator[tuple[str, str]]:
    """Queries under the names that <board>.yml has for them: a panel's second is its alert's limit."""
    one_column = {panel["title"] for panel in panels(board) if panel["type"] == "table" and len(panel["targets"]) == 1}
    seen: set[str] = set()
    for query in asked(board):
        name = query.panel if query.panel in one_column else query.name
        yield (f"{name}, limit" if name in seen else name), query.expr
        seen.add(name)
    for query in marks(board):
        yield f"annotation {query.name}", query.expr


def check(expr: str, expected: dict[str, float]) -> Object:
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]

    return {"expr": f"round({expr}, 0.001)", "eval_time": "5m", "exp_samples": samples}


def write(file: Path, content: Object) -> Path:
    file.write_text(json.dumps(content))  # JSON is YAML
    return file
