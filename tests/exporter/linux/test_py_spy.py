"""Stacks from what py-spy prints, and programs that stand in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.linux import py_spy
from vllm_exporter.linux.py_spy import dump_stacks, find_py_spy, parse_dump

DUMP = """\
Process 842: VLLM::Worker_TP0
Python v3.11.7 (/usr/bin/python3.11)

Thread 842 (idle): "MainThread"
    all_reduce (torch/distributed/distributed_c10d.py:2810)
    forward (vllm/model_executor/layers/linear.py:1250)
Thread 860 (active): "Thread-1"
    wait (threading.py:331)
    run (threading.py:982)
"""


def program(folder: Path, text: str) -> str:
    made = folder / "py-spy"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o755)
    return str(made)


def test_frames_come_innermost_first_the_main_thread_before_the_others() -> None:
    swapped = DUMP.replace('"MainThread"', '"Other"').replace('"Thread-1"', '"MainThread"')
    frames = parse_dump(DUMP)
    assert frames[0] == "all_reduce (torch/distributed/distributed_c10d.py:2810)"
    assert frames[2:] == ("wait (threading.py:331)", "run (threading.py:982)")
    assert parse_dump(swapped)[0] == "wait (threading.py:331)"


@pytest.mark.parametrize("text", ["", "Error: Permission denied\n", "    indented before any thread\n"])
def test_without_threads_there_are_no_frames(text: str) -> None:
    assert parse_dump(text) == ()


def test_asks_without_stopping_the_process(tmp_path: Path) -> None:
    made = program(tmp_path, 'echo \'Thread 1 (idle): "MainThread"\'; echo "    $1 $2 $3 $4 (x.py:1)"')
    assert dump_stacks(made, [42]) == {42: ("dump --nonblocking --pid 42 (x.py:1)",)}


def test_one_that_fails_or_hangs_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_spy, "DEADLINE", 0.2)
    assert dump_stacks(program(tmp_path, "exit 1"), [42]) == {42: ()}
    assert dump_stacks(program(tmp_path, "exec sleep 5"), [42]) == {42: ()}
    assert dump_stacks(str(tmp_path / "not-there"), [42]) == {42: ()}


def test_is_found_on_the_path_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_py_spy() == made
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", str(tmp_path / "nowhere" / "python"))
    assert find_py_spy() is None
