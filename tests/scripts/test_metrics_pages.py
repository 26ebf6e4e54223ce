from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import metrics_pages
from tests.exporter.families import every_family
from vllm_exporter.app import load_collectors
from vllm_exporter.metrics.family import Family, Sample
from vllm_exporter.run.collector import Collector
from vllm_exporter.run.status import STATUS
from vllm_exporter.subjects.gpu import families as gpu
from vllm_exporter.subjects.parallel import families as topology

UP = Family("vllm_test_up", "gauge", "1 if a|b, else 0.", ("server", "role"))
STEPS = Family("vllm_test_steps_total", "counter", "Steps.")


class One(Collector):
    metrics = (UP, STEPS)

    def collect(self) -> Iterator[Sample]:
        raise NotImplementedError


TABLE = """| metric | kind | labels | what it says |
|---|---|---|---|
| `vllm_test_steps_total` | counter |  | Steps. |
| `vllm_test_up` | gauge | `server`, `role` | 1 if a\\|b, else 0. |
"""


def test_a_table_names_kind_labels_and_meaning() -> None:
    assert metrics_pages.table(One.metrics) == TABLE


def test_what_was_never_checked_on_a_gpu_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "STAND_IN_ONLY", (UP,))
    monkeypatch.setattr(gpu, "AMD_STAND_IN_ONLY", (UP, STEPS))
    rows = metrics_pages.table(One.metrics).splitlines()[2:]
    assert rows[0].endswith("| Steps. On AMD stand-in only. |")
    assert rows[1].endswith(", else 0. Stand-in only. |")


def test_every_family_of_gpus_is_marked_in_the_glossary_until_it_was_checked_on_one() -> None:
    rows = metrics_pages.glossary(load_collectors()).splitlines()
    marked = {row.split("`")[1] for row in rows if row.endswith(" Stand-in only. |")}
    assert marked == {family.name for family in (*gpu.STAND_IN_ONLY, *topology.STAND_IN_ONLY)}
    assert {name.split("_")[1] for name in marked} <= {"gpu", "topology"}


def test_only_what_is_between_the_marks_of_a_page_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "collectors").mkdir()
    page = tmp_path / "collectors" / "one.md"
    page.write_text("# one\n<!-- metrics:begin -->\nold\n<!-- metrics:end -->\nafter\n")
    made = metrics_pages.pages({"one": One}, tmp_path)
    assert made[page] == f"# one\n<!-- metrics:begin -->\n{TABLE}<!-- metrics:end -->\nafter\n"


def test_a_page_without_a_place_for_the_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "collectors").mkdir()
    (tmp_path / "collectors" / "one.md").write_text("# one\n")
    with pytest.raises(ValueError, match=r"one.md lacks the lines <!-- metrics:begin --> and"):
        metrics_pages.pages({"one": One}, tmp_path)


def test_a_collector_without_a_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="collector one has no page"):
        metrics_pages.pages({"one": One}, tmp_path)


def test_every_family_that_is_declared_is_published_and_explained() -> None:
    published = {family.name for cls in load_collectors().values() for family in cls.metrics}
    assert {family.name for family in every_family()} == published | {family.name for family in STATUS}
