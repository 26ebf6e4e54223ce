"""A collector is its module, its test and its page; each metric family and each event is documented."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.exporter.families import every_family
from vllm_exporter.app import collector_names, load_collectors
from vllm_exporter.facts.events import COMMON, Event
from vllm_exporter.run.status import STATUS

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = ["Where it reads", "Metrics", "Options", "Cost", "What it does not do"]
COLLECTORS = load_collectors()


@pytest.mark.parametrize("name", COLLECTORS)
def test_a_collector_has_a_page_with_the_usual_headings(name: str) -> None:
    text = (ROOT / "docs" / "collectors" / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    found = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == HEADINGS


def test_every_page_is_a_collector_s() -> None:
    assert {page.stem for page in (ROOT / "docs" / "collectors").glob("*.md")} == set(collector_names())


@pytest.mark.parametrize("name", COLLECTORS)
def test_a_collector_has_a_test_where_its_module_says(name: str) -> None:
    *folders, module = COLLECTORS[name].__module__.split(".")[1:]
    text = (ROOT / "tests" / "exporter" / Path(*folders) / f"test_{module}.py").read_text()
    assert COLLECTORS[name].__name__ in text
    assert "\ndef test_" in text


@pytest.mark.parametrize("name", COLLECTORS)
def test_the_options_of_a_collector_are_on_its_page(name: str) -> None:
    text = (ROOT / "docs" / "collectors" / f"{name}.md").read_text()
    assert [one.name for one in fields(COLLECTORS[name].options) if f"`{one.name}" not in text] == []


def test_every_family_is_declared_by_a_collector_and_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    declared = {family for cls in COLLECTORS.values() for family in cls.metrics} | set(STATUS)
    assert {family.name for family in every_family()} == {family.name for family in declared}
    assert [family.name for family in declared if f"`{family.name}`" not in page] == []


@pytest.mark.parametrize("kind", Event.__subclasses__(), ids=lambda kind: kind.kind)
def test_every_kind_of_event_is_documented_with_its_fields(kind: type[Event]) -> None:
    page = (ROOT / "docs" / "collectors" / "events.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| `{kind.kind}` |"))
    own = [one.name.rstrip("_") for one in fields(kind) if one.name not in COMMON]
    assert [name for name in own if f"`{name}`" not in row] == []
    assert [name.rstrip("_") for name in COMMON if f"`{name.rstrip('_')}`" not in page] == []
