"""Exporter and healer share no code: what both need is one file, kept twice, and the two are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPORTER, HEALER = ROOT / "exporter" / "vllm_exporter", ROOT / "healer" / "vllm_healer"


@pytest.mark.parametrize("file", ["secret_mode.py", "config/yaml_lines.py", "plugins.py"])
def test_both_copies_are_the_same(file: str) -> None:
    assert (HEALER / file).read_bytes() == (EXPORTER / file).read_bytes(), f"copy one {file} over the other"


@pytest.mark.parametrize("part", ["exporter", "healer"])
def test_each_part_carries_the_licence_into_its_wheel_and_its_image(part: str) -> None:
    assert (ROOT / part / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes(), "copy LICENSE into it"
