"""Every board: words, units, places, ids and variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.__main__ import main
from grafana.builder import files
from grafana.builder.board import BOARDS as LINKED
from grafana.builder.board import uid
from grafana.builder.page import page
from tests.grafana.written import BOARDS, Object, asked, panels, variables_in

BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
WITHOUT_A_UNIT = {"text"}
LINK = re.compile(r"/d/([\w-]+)")
GUIDE = {
    "overview": {
        "Request Rate",
        "Error Rate",
        "P99 Latency",
        "GPU Utilization",
        "KV Cache Utilization",
        "Active Requests",
        "Throughput",
    },
    "performance": {
        "Latency Percentiles",
        "Latency Heatmap",
        "TTFT vs Total Latency",
        "Throughput by Batch Size",
        "Request Duration Breakdown",
    },
    "resources": {"GPU Memory Timeline", "GPU Temperature", "CPU Usage", "Network I/O", "KV Cache Blocks"},
    "errors": {"Error Rate by Type", "Error Timeline", "Failed Request Details", "OOM Events"},
}


def test_the_written_boards_are_what_the_code_makes() -> None:
    assert files.outdated() == []
    assert main(["check"]) == 0


def test_a_board_that_no_code_makes_is_out_of_date(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "DASHBOARDS", tmp_path)
    files.write()
    stranger = files.DASHBOARDS / "old.json"
    stranger.write_text("{}")
    (files.DASHBOARDS / "overview.json").write_text("{}")
    assert files.outdated() == [stranger, files.DASHBOARDS / "overview.json"]
    files.write()
    assert files.outdated() == []
    assert not stranger.exists()


def test_the_boards_can_be_written_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    assert main(["write", "--out", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {
        "mine.json",
        *(f"vllm-monitor-{name}.json" for name in BOARDS),
    }
    assert json.loads((tmp_path / "vllm-monitor-slo.json").read_text()) == BOARDS["slo"]


def test_the_boards_can_be_written_for_kubernetes(tmp_path: Path) -> None:
    assert main(["write", "--configmap", str(tmp_path / "boards.yml")]) == 0
    maps = list(yaml.safe_load_all((tmp_path / "boards.yml").read_text()))
    assert [json.loads(text)["uid"] for one in maps for text in one["data"].values()] == [
        board["uid"] for board in BOARDS.values()
    ]
    assert all(one["metadata"]["labels"] == {"grafana_dashboard": "1"} for one in maps)
    assert all(len(json.dumps(one)) < 1_000_000 for one in maps)  # the most that a ConfigMap may hold


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["write", "--out", str(tmp_path / "file" / "boards")]) == 1
    assert "cannot write the boards to" in capsys.readouterr().err


def test_the_boards_are_those_that_the_links_lead_to() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {name: uid(name) for name in sorted(LINKED)}


def test_no_board_has_an_address_of_vllm_s_own_suite() -> None:
    theirs = {"vllm-overview", "vllm-instances", "vllm-kv-cache", "vllm-spec-decode"}
    assert {board["uid"] for board in BOARDS.values()} & theirs == set()


@BOARD
def test_every_link_leads_to_a_board_that_exists(board: Object) -> None:
    found = set(LINK.findall(json.dumps(board)))
    assert found <= {one["uid"] for one in BOARDS.values()}
    assert {link["url"] for link in board["links"]} == {f"/d/{uid(name)}" for name in LINKED} - {f"/d/{board['uid']}"}


@BOARD
def test_is_no_longer_than_a_person_reads_and_a_prometheus_answers(board: Object) -> None:
    shown = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len(shown) <= 25
    assert sum(len(panel["targets"]) for panel in shown) <= 60


@BOARD
def test_never_paints_the_unknown_green(board: Object) -> None:
    for panel in panels(board):
        for steps in found_under(panel, "steps"):
            # A heatmap only counts its colours.
            assert isinstance(steps, int) or steps[0]["color"] != "green", panel["title"]


@BOARD
def test_draws_no_line_past_the_end_of_its_data(board: Object) -> None:
    assert "step" not in {line[:4] for panel in panels(board) for line in found_under(panel, "lineInterpolation")}


@BOARD
def test_an_empty_panel_says_what_that_means(board: Object) -> None:
    """The state timeline has no such words; Grafana says "No data" there."""
    for panel in panels(board):
        if panel["targets"] and panel["type"] not in {"state-timeline", "logs"}:
            assert panel["fieldConfig"]["defaults"].get("noValue"), panel["title"]


@BOARD
def test_columns_of_a_table_stay_when_their_series_end(board: Object) -> None:
    """A table of what there is (alerts, incidents) may be empty; a table of things that are known keeps its columns."""
    for panel in panels(board):
        if panel["type"] == "table" and panel["fieldConfig"]["defaults"]["noValue"].endswith("known"):
            rests = {target["expr"].rpartition(" or ")[2] for target in panel["targets"]}
            assert len(rests) == 1 or len(panel["targets"]) == 1, panel["title"]
            assert len(panel["targets"]) == 1 or rests.pop().endswith("* NaN"), panel["title"]


@BOARD
def test_marks_nothing_from_before_the_range(board: Object) -> None:
    assert all(note["expr"].endswith(">= $__from") for note in board["annotations"]["list"])


def test_has_the_panels_that_the_field_s_guide_names_letter_for_letter() -> None:
    for name, titles in GUIDE.items():
        assert titles - {panel["title"] for panel in panels(BOARDS[name])} == set(), name


@BOARD
def test_says_that_it_is_generated_and_from_what(board: Object) -> None:
    assert "Generated by `make dashboards` from grafana/boards/" in board["description"]


@BOARD
def test_every_panel_has_a_title_a_description_and_a_unit(board: Object) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["type"] in WITHOUT_A_UNIT or panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)


@BOARD
def test_says_how_old_its_data_are_at_the_upper_right(board: Object) -> None:
    (place,) = [panel["gridPos"] for panel in board["panels"] if panel["title"] == "Age"]
    assert (place["x"] + place["w"], place["y"]) == (24, min(one["gridPos"]["y"] for one in panels(board)))


@BOARD
def test_every_row_asks_one_question(board: Object) -> None:
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    assert [row["title"] for row in rows if not re.search(r"\?( \(.+\))?$", row["title"])] == []
    assert all(row["collapsed"] == bool(row["panels"]) for row in rows)


@BOARD
def test_ids_are_unique(board: Object) -> None:
    ids = [panel["id"] for panel in board["panels"]] + [
        panel["id"] for row in board["panels"] for panel in row.get("panels", ())
    ]
    assert len(set(ids)) == len(ids)
    assert board.get("id") is None  # Grafana's own number of the board: with one, an import may replace another board


@BOARD
def test_panels_lie_inside_the_grid_and_on_no_other(board: Object) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0 for place in places)
    assert [(a, b) for a, b in combinations(places, 2) if overlap(a, b)] == []


@BOARD
def test_uses_only_variables_that_it_has_and_all_of_them(board: Object) -> None:
    declared = {item["name"] for item in board["templating"]["list"]}
    assert {"datasource", "model_name", "server"} <= declared
    assert variables_in(board) == declared


@BOARD
def test_every_query_asks_the_chosen_data_source(board: Object) -> None:
    prometheus, loki = {"type": "prometheus", "uid": "${datasource}"}, {"type": "loki", "uid": "${loki}"}
    for panel in panels(board):
        chosen = loki if panel["type"] == "logs" else prometheus
        assert all(item["datasource"] == chosen for item in (panel, *panel["targets"])), panel["title"]
    assert all(note["datasource"] == prometheus for note in board["annotations"]["list"])


@BOARD
def test_rates_are_over_what_grafana_says_that_rates_need(board: Object) -> None:
    """`$__rate_interval` holds four scrapes at least. What is counted is so over the range or, for bars, over a bar."""
    for panel in panels(board):
        for target in panel["targets"]:
            windows = re.findall(r"\b(i?rate|increase)\([^()]*\[([^\]]*)\]", target["expr"])
            counts = {"$__range"} if target["instant"] else {"$__interval"}
            for function, window in windows:
                assert window in (counts if function == "increase" else {"$__rate_interval"}), panel["title"]


@BOARD
def test_every_panel_but_text_asks_something(board: Object) -> None:
    assert [panel["title"] for panel in panels(board) if not panel["targets"] and panel["type"] != "text"] == []


@BOARD
def test_the_choices_follow_the_range_of_time(board: Object) -> None:
    """Else a server that is gone cannot be chosen when one looks back."""
    asking = [item for item in board["templating"]["list"] if item["type"] == "query"]
    assert [item["name"] for item in asking if item["refresh"] != 2] == []


@BOARD
def test_numbers_are_present_ones_and_lines_are_not(board: Object) -> None:
    """A number over its course takes the last point, not the last that was a number: that may be of a dead server."""
    present = {"stat", "gauge", "table", "piechart", "bargauge", "barchart"}
    for panel in panels(board):
        course = panel["options"].get("graphMode") == "area"
        assert not course or panel["options"]["reduceOptions"]["calcs"] == ["last"], panel["title"]
        for target in panel["targets"]:
            assert target["instant"] is (panel["type"] in present and not course), panel["title"]
            assert target["range"] is not target["instant"]


@BOARD
def test_refreshes_every_5_s_and_as_often_as_every_second_on_request(board: Object) -> None:
    assert board["refresh"] == "5s"
    assert board["timepicker"]["refresh_intervals"][:3] == ["1s", "2s", "5s"]
    assert board["timezone"] == "browser"


@BOARD
def test_has_the_usual_ranges(board: Object) -> None:
    ranges = board["timepicker"]["quick_ranges"]
    assert [item["from"] for item in ranges] == ["now-5m", "now-1h", "now-6h", "now-24h", "now-7d"]


@BOARD
def test_marks_alerts_actions_and_starts(board: Object) -> None:
    assert [note["name"] for note in board["annotations"]["list"]] == ["Critical alerts", "Healer's actions", "Starts"]
    assert all(note["target"]["expr"] == note["expr"] for note in board["annotations"]["list"])


def test_the_page_describes_every_panel() -> None:
    text = page(files.load())
    for board in BOARDS.values():
        assert f"\n## {board['title']}\n" in text
        assert all(f"| {panel['title']} | {panel['description']} |" in text for panel in panels(board))


def found_under(value: object, key: str) -> Iterator[Any]:
    """Whatever stands under that key, however deep."""
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        if name == key:
            yield inner
        yield from found_under(inner, key)


def test_the_paths_from_a_symptom_name_panels_that_are_there() -> None:
    """In the last column of the table: panels, in italics, of any board; in the first two: words of Overview."""
    table = page(files.load()).partition("## From a symptom to its cause")[2].partition("\n## ")[0]
    rows = [row.split("|")[1:-1] for row in table.splitlines() if row.startswith("| ")][1:]
    titles = {panel["title"] for board in BOARDS.values() for panel in panels(board)}
    columns = {column for board in BOARDS.values() for query in asked(board) if (column := query.column)}
    assert len(rows) == 10
    for *_, there in rows:
        named = set(re.findall(r"\*([^*]+)\*", there))
        assert named or "explain" in there, there
        assert named - titles - columns == set(), there


def overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    apart_in_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    apart_in_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not (apart_in_x or apart_in_y)
