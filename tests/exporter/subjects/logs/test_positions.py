"""Positions over a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.subjects.logs.positions import read_positions, write_positions


def test_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state" / "logs.json"
    write_positions(path, {"a:1 /a.log": {"inode": 5, "offset": 7, "head": "00"}, "a:1 journald:x": {"cursor": "s=1"}})
    assert read_positions(path) == {
        "a:1 /a.log": {"inode": 5, "offset": 7, "head": "00"},
        "a:1 journald:x": {"cursor": "s=1"},
    }


def test_no_file_is_no_position(tmp_path: Path) -> None:
    assert read_positions(tmp_path / "logs.json") == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2, "positions": {}}', '{"version": 1, "positions": {"a": 3}}']
)
def test_says_when_the_file_makes_no_sense(tmp_path: Path, text: str) -> None:
    (tmp_path / "logs.json").write_text(text)
    with pytest.raises(ValueError, match=r"\w"):
        read_positions(tmp_path / "logs.json")
