"""The builder: from values to Grafana's JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grafana.builder.board import Board, Row, place, render
from grafana.builder.colours import MISSING, steps, up_to, words
from grafana.builder.limits import alert_limit, limit_near, limit_series
from grafana.builder.lines import LIMIT, bars, heatmap, timeseries
from grafana.builder.numbers import gauge, sparkline, stat
from grafana.builder.panel import Json, Panel, Query
from grafana.builder.shares import scatter
from grafana.builder.table import Column, table
from grafana.builder.texts import text

SMALL = text("Words", "Says something.", "*hello*", width=6, height=2)


def spots(*rows: Row) -> list[tuple[object, ...]]:
    return [tuple(at(panel, "gridPos", key) for key in "xywh") for panel in place(rows)]


def at(value: object, *keys: str | int) -> object:
    for key in keys:
        assert isinstance(value, dict | list)
        value = value[key]  # type: ignore[index]
    return value


def built(panel: Panel) -> Json:
    return panel.json(7, 0, 0)


def test_panels_stand_side_by_side_and_the_next_row_below_the_highest() -> None:
    high = replace(SMALL, height=5)
    assert spots(Row("One?", (SMALL, high)), Row("Two?", (SMALL,))) == [
        (0, 0, 24, 1),
        (0, 1, 6, 2),
        (6, 1, 6, 5),
        (0, 6, 24, 1),
        (0, 7, 6, 2),
    ]


def test_a_panel_that_does_not_fit_goes_below() -> None:
    wide = replace(SMALL, width=20)
    assert spots(Row("One?", (wide, SMALL, wide))) == [(0, 0, 24, 1), (0, 1, 20, 2), (0, 3, 6, 2), (0, 5, 20, 2)]


def test_a_row_without_a_question_has_no_heading() -> None:
    assert spots(Row("", (SMALL,)), Row("Two?", (SMALL,))) == [(0, 0, 6, 2), (0, 2, 24, 1), (0, 3, 6, 2)]


def test_panels_of_a_collapsed_row_lie_inside_it_and_take_no_room() -> None:
    first, second = place((Row("One?", (SMALL,), collapsed=True), Row("Two?", ())))
    assert at(first, "panels", 0, "gridPos") == {"x": 0, "y": 1, "w": 6, "h": 2}
    assert at(second, "gridPos", "y") == 1


def test_an_empty_row_is_only_its_question() -> None:
    assert spots(Row("One?", ()), Row("Two?", ())) == [(0, 0, 24, 1), (0, 1, 24, 1)]


def test_each_query_gets_a_letter() -> None:
    panel = built(timeseries("T", "D.", Query("a"), Query("b", "{{le}}"), limit="c"))
    assert [(at(target, "refId"), at(target, "expr"), at(target, "legendFormat")) for target in targets(panel)] == [
        ("A", "a", "__auto"),
        ("B", "b", "{{le}}"),
        ("C", "c", LIMIT),
    ]
    assert at(panel, "fieldConfig", "overrides", 0, "matcher") == {"id": "byName", "options": LIMIT}


def test_lines_without_a_limit_have_no_override() -> None:
    assert at(built(timeseries("T", "D.", Query("a"))), "fieldConfig", "overrides") == []


def test_a_gauge_has_an_end_and_words_for_nothing() -> None:
    panel = built(gauge("G", "D.", Query("a"), unit="s", top=4, thresholds=up_to(2), missing="no requests"))
    defaults = at(panel, "fieldConfig", "defaults")
    assert at(defaults, "max") == 4
    assert at(defaults, "noValue") == "no requests"
    assert at(defaults, "thresholds", "steps") == [
        {"value": None, "color": "text"},
        {"value": 0, "color": "green"},
        {"value": 1.6, "color": "yellow"},
        {"value": 2, "color": "red"},
    ]


def test_a_number_is_unknown_where_nothing_is_known() -> None:
    panel = built(stat("S", "D.", Query("a"), mappings=words({0: ("off", "red")})))
    assert at(panel, "fieldConfig", "defaults", "noValue") == "unknown"
    assert at(panel, "fieldConfig", "defaults", "mappings") == [
        {"type": "value", "options": {"0": {"text": "off", "color": "red"}}},
        MISSING,
    ]


def test_a_table_has_its_keys_first_and_a_heading_for_each_query() -> None:
    columns = (Column("Ready", "r"), Column("Load", "l", "percentunit", decimals=0, thresholds=steps((1, "red"))))
    panel = built(table("T", "D.", columns, keys={"server": "Server"}, links={"Server": "/d/x"}, sort="Ready"))
    assert at(panel, "transformations", 1, "options") == {
        "excludeByName": {"Time": True},
        "indexByName": {"server": 0, "Value #A": 1, "Value #B": 2},
        "renameByName": {"server": "Server", "Value #A": "Ready", "Value #B": "Load"},
    }
    looks = {at(item, "matcher", "options"): at(item, "properties") for item in overrides(panel)}
    assert looks["Ready"] == [{"id": "unit", "value": "short"}, {"id": "mappings", "value": [MISSING]}]
    assert {"id": "custom.cellOptions", "value": {"type": "color-text", "mode": "basic"}} in listed(looks["Load"])
    assert {"id": "custom.displayMode", "value": "color-text"} in listed(looks["Load"])
    assert {"id": "links", "value": [{"title": "${__value.text}", "url": "/d/x", "targetBlank": False}]} in listed(
        looks["Server"]
    )


def test_a_column_without_values_has_dashes_where_all_rows_are_known() -> None:
    panel = built(
        table("T", "D.", (Column("A", "a"), Column("B", "b")), keys={"server": "Server"}, every="k", sort="A")
    )
    assert [at(target, "expr") for target in targets(panel)] == ["(a) or (k) * NaN", "(b) or (k) * NaN"]


def test_the_only_query_of_a_table_has_no_letter() -> None:
    panel = built(table("T", "D.", (Column("Since", "s"),), keys={"alertname": "Alert"}, sort="Since"))
    assert at(panel, "transformations", 1, "options", "renameByName") == {"alertname": "Alert", "Value": "Since"}


def test_a_heatmap_asks_for_buckets() -> None:
    panel = built(heatmap("H", "D.", "b"))
    assert at(panel, "targets", 0, "format") == "heatmap"
    assert at(panel, "targets", 0, "legendFormat") == "{{le}}"


def test_bars_have_no_line_that_goes_on() -> None:
    panel = built(bars("B", "D.", Query("a"), missing="nothing", colours={"x": "red"}))
    assert at(panel, "fieldConfig", "defaults", "custom", "drawStyle") == "bars"
    assert at(panel, "interval") == "1m"
    assert at(panel, "fieldConfig", "overrides", 0, "matcher", "options") == "x"


def test_a_line_has_the_colour_of_what_it_means() -> None:
    panel = built(timeseries("T", "D.", Query("a", "failed", colour="red")))
    assert at(panel, "fieldConfig", "overrides", 0) == {
        "matcher": {"id": "byName", "options": "failed"},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}],
    }


def test_a_number_over_its_course_says_when_there_is_nothing_to_say() -> None:
    panel = built(sparkline("S", "D.", Query("a"), unit="reqps", idle="no requests"))
    words = at(panel, "fieldConfig", "defaults", "mappings", 0, "options")
    assert words == {"match": "nan", "result": {"text": "no requests", "color": "text"}}


def test_points_are_told_apart_by_their_legends() -> None:
    panel = built(scatter("S", "D.", Query("a", "x (s)"), Query("b", "y (s)"), width=12, height=8))
    assert at(panel, "options", "series", 0, "x") == "x (s)"
    assert at(panel, "transformations", 1, "options", "renameByName") == {"Value #A": "x (s)", "Value #B": "y (s)"}
    assert "pluginVersion" not in panel  # with one, newer releases do not migrate it


def test_words_ask_nothing() -> None:
    assert targets(built(SMALL)) == []
    assert at(built(SMALL), "options") == {"mode": "markdown", "content": "*hello*"}


def test_limits_are_the_alerts() -> None:
    assert alert_limit("error_ratio") == 0.05
    assert limit_series("error_ratio") == 'max(server:vllm_threshold:error_ratio{server=~"$server"})'
    assert limit_near("error_ratio", "x").endswith(" and on () (max(x) > 0.5 * " + limit_series("error_ratio") + ")")
    with pytest.raises(KeyError):
        alert_limit("typo")


def test_a_board_without_rows_is_a_board() -> None:
    made = render(Board("u", "T", "D.", ()), "grafana/boards/x.py")
    assert made["panels"] == []
    assert made["description"] == "D. Generated by `make dashboards` from grafana/boards/x.py; changes here are lost."


def targets(panel: Json) -> list[object]:
    return listed(panel["targets"])


def overrides(panel: Json) -> list[object]:
    return listed(at(panel, "fieldConfig", "overrides"))


def listed(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
