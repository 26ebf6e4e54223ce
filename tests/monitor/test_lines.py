"""What a process writes as lines: whole, bounded, and counted when it is not written."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from vllm_monitor.lines import ALL, BURST, RATE, SIZE, Lines


def written(folder: Path) -> list[object]:
    found = sorted(folder.glob("7-*.lines"), key=lambda file: int(file.stem.rpartition("-")[2]))
    return [json.loads(line) for file in found for line in file.read_text().splitlines()]


def test_without_a_line_there_is_no_file(tmp_path: Path) -> None:
    Lines(tmp_path, "7-1-1")
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_whole_and_names_the_port(tmp_path: Path) -> None:
    Lines(tmp_path, "7-1-1", 8000).write({"kind": "x", "text": "a\nb"}, 1.0)
    assert (tmp_path / "7-1-1-1.lines").read_bytes() == b'{"kind":"x","text":"a\\nb","port":8000}\n'


def test_nobody_else_may_write_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Lines(tmp_path, "7-1-1").write({}, 1.0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "7-1-1-1.lines").stat().st_mode) == 0o644


def test_a_flood_is_cut_to_its_beginning_and_then_to_a_rate(tmp_path: Path) -> None:
    made = Lines(tmp_path, "7-1-1")
    for number in range(BURST + 100):
        made.write({"number": number}, 50.0)
    assert len(written(tmp_path)) == BURST
    assert made.lost == 100
    for _ in range(100):
        made.write({}, 51.0)
    assert len(written(tmp_path)) == BURST + RATE
    assert made.lost == 180


def test_a_full_file_is_followed_by_the_next_and_only_two_are_kept(tmp_path: Path) -> None:
    made = Lines(tmp_path, "7-1-1")
    for number in range(400):
        made.write({"number": number, "text": "x" * 2000}, 1000.0 * number)
    files = sorted(tmp_path.glob("*.lines"))
    assert [file.name for file in files] == ["7-1-1-3.lines", "7-1-1-4.lines"]
    assert all(file.stat().st_size <= SIZE for file in files)
    assert made.lost == 0


def test_files_of_processes_that_ended_stay_but_not_without_end(tmp_path: Path) -> None:
    for number in range(ALL + 10):
        left = tmp_path / f"9-{number}-1-1.lines"
        left.touch()
        os.utime(left, (number, number))
    (tmp_path / "9-1-1.snap").touch()
    Lines(tmp_path, "7-1-1").write({}, 1.0)
    kept = {file.name for file in tmp_path.iterdir()}
    assert len(kept) == ALL + 1
    assert {"7-1-1-1.lines", "9-41-1-1.lines", "9-1-1.snap"} <= kept
    assert "9-0-1-1.lines" not in kept


def test_a_file_that_somebody_removed_is_begun_anew(tmp_path: Path) -> None:
    made = Lines(tmp_path, "7-1-1")
    made.write({"a": 1}, 1.0)
    (tmp_path / "7-1-1-1.lines").unlink()
    made.write({"a": 2}, 2.0)
    assert written(tmp_path) == [{"a": 2}]


def test_a_directory_that_is_gone_raises_nothing_and_is_counted(tmp_path: Path) -> None:
    made = Lines(tmp_path / "gone", "7-1-1")
    made.write({}, 1.0)
    assert made.lost == 1


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "7-1-1-1.lines").symlink_to(tmp_path / "target")
    made = Lines(tmp_path, "7-1-1")
    made.write({"a": 1}, 1.0)
    assert (tmp_path / "target").read_text() == "keep"
    assert made.lost == 1


def test_a_full_disk_leaves_no_half_line_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, write = Lines(tmp_path, "7-1-1"), os.write
    monkeypatch.setattr("vllm_monitor.lines.os.write", lambda file, data: write(file, data[:5]))
    made.write({"a": 1}, 1.0)
    monkeypatch.undo()
    made.write({"a": 2}, 2.0)
    assert (tmp_path / "7-1-1-1.lines").read_bytes() == b'{"a":'
    assert (tmp_path / "7-1-1-2.lines").read_bytes() == b'{"a":2}\n'
    assert made.lost == 1


def test_a_line_that_is_too_long_is_counted(tmp_path: Path) -> None:
    made = Lines(tmp_path, "7-1-1")
    made.write({"text": "x" * 9000}, 1.0)
    assert (made.lost, written(tmp_path)) == (1, [])
