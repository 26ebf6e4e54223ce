"""The table of conditions in docs/architecture.md: each side's words are there, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from vllm_exporter.people.hang.causes import CAUSES
from vllm_exporter.subjects.lifecycle.states import ORDER
from vllm_healer.registry import detectors

ROOT = Path(__file__).resolve().parents[2]
RANGE = "all from `preflight` to `listening`"
OF_THE_HEALER_ALONE = {"none", "starting", "unknown"}  # causes without a detector


def table() -> list[list[str]]:
    """The cells of each row after the condition: state, hang report, healer, alert."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    _, _, rest = page.partition("| condition | state | hang report | healer | alert |\n")
    rows = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")][1:] for row in rows]


def words(column: int) -> set[str]:
    return {word for row in table() for word in re.findall(r"`(\w+)`", row[column])}


def states_of_a_start() -> set[str]:
    names = list(ORDER)
    return set(names[names.index("preflight") : names.index("listening") + 1])


def alerts_of_servers() -> set[str]:
    files = [
        ROOT / "prometheus" / "alerts" / f"{name}.alerts.yml" for name in ("availability", "load", "starts", "gpu")
    ]
    documents = [yaml.safe_load(file.read_text()) for file in files]
    return {rule["alert"] for one in documents for group in one["groups"] for rule in group["rules"]}


def test_every_state_is_in_it_and_no_other() -> None:
    assert RANGE in {row[0] for row in table()}
    assert words(0) | states_of_a_start() == set(ORDER)


def test_every_cause_of_the_hang_report_is_in_it_and_no_other() -> None:
    assert words(1) == set(CAUSES)


def test_the_causes_of_the_healer_are_those_that_it_can_find() -> None:
    assert words(2) <= set(detectors()) | OF_THE_HEALER_ALONE


def test_the_alerts_are_those_that_there_are() -> None:
    assert words(3) <= alerts_of_servers()


@pytest.mark.parametrize(("state", "cause", "alert"), [("stalled", "engine_stalled", "VllmEngineStalled")])
def test_what_the_loop_is_about_is_in_one_row(state: str, cause: str, alert: str) -> None:
    rows = [row for row in table() if f"`{state}`" in row[0]]
    assert rows
    assert all(f"`{cause}`" in row[2] and f"`{alert}`" in row[3] for row in rows)


def test_the_house_has_at_most_twelve_words_of_its_own() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = page.partition("| word | means |\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert 0 < len(rows) <= 12
