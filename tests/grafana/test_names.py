"""Boards name only series that something publishes or records."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry

from tests.contract.test_metric_names import RECORDED, exporter_names, healer_names, rules
from tests.grafana.written import BOARDS, Object, asked, everything, selectors
from vllm_healer.metrics import HealerMetrics

PROMETHEUS_OWN = {"up", "ALERTS", "ALERTS_FOR_STATE"}

STRINGS_AND_LABELS = re.compile(
    r'"[^"]*"|\{[^}]*\}|\b(?:by|without|on|ignoring|group_left|group_right) ?\([^)]*\)|\[\w+\]'
)
NAME = re.compile(r"(?<![\w:])[a-zA-Z_][\w:]*(?![\w:]| *\()")
WORDS = {"or", "and", "unless", "offset", "bool", "on", "by", "NaN"}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_series_of_a_board_exists(board: Object) -> None:
    known = recorded() | exporter_names() | healer_series() | PROMETHEUS_OWN
    used = {name for query in everything(board) for name in names_in(query.expr)}
    assert used - known == set()


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_choices_of_a_variable_come_from_series_that_exist(board: Object) -> None:
    for query in selectors(board):
        found = set(RECORDED.findall(query.expr)) or names_in(query.expr)
        assert found
        assert found <= recorded() | exporter_names()


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_series_of_a_server_is_asked_for_the_chosen_servers(board: Object) -> None:
    """What belongs to no server is asked for the chosen hosts or models, or is about the whole installation."""
    everyones = re.compile(r"vllm_healer_|\bup\b|vllm_gpu_|vllm_host_|\{model_name=~")
    forgotten = [
        query.name for query in asked(board) if "gpu1:8000" not in query.expr and not everyones.search(query.expr)
    ]
    assert forgotten == []


def test_finds_the_names_in_promql() -> None:
    text = 'topk(1, a:b:c{server=~"x|y"}) > on (server) max by (le) (rate(vllm_x_total[5m] offset 1m)) or up'
    assert names_in(text) == {"a:b:c", "vllm_x_total", "up"}


def names_in(expr: str) -> set[str]:
    return set(NAME.findall(STRINGS_AND_LABELS.sub(" ", expr))) - WORDS


def healer_series() -> set[str]:
    """Also of families that have no labels' values, and so no series, before the first action."""
    families = HealerMetrics(CollectorRegistry()).registry.collect()
    return healer_names() | {f"{family.name}{'_total' * (family.type == 'counter')}" for family in families}


def recorded() -> set[str]:
    return {str(rule["record"]) for rule in rules() if "record" in rule}
