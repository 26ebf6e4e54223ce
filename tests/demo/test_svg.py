"""The recording."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from deploy.demo.svg import Shown, render

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[tuple[str | None, str | None]]:
    return [(one.get("class"), one.text) for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_each_line_keeps_its_words_and_its_colour() -> None:
    lines = [Shown(0.0, "$ make <it>"), Shown(36.0, "\033[35m  36.0 s  alert     VllmDown fires\033[0m")]
    assert texts(render("make", lines)) == [(None, "$ make <it>"), ("magenta", "  36.0 s  alert     VllmDown fires")]


def test_a_line_appears_in_its_time_six_times_as_fast() -> None:
    assert 'style="animation-delay:6.0s"' in render("make", [Shown(36.0, "healed")])


@pytest.mark.skipif(not (ROOT / "docs" / "demo.svg").exists(), reason="not recorded yet")
def test_the_recording_in_the_docs_shows_a_healed_hang_and_is_small() -> None:
    file = ROOT / "docs" / "demo.svg"
    said = " ".join(text or "" for _, text in texts(file.read_text()))
    assert "VllmEngineStalled fires" in said
    assert "works again" in said
    assert file.stat().st_size < 60_000
