"""Where numbers go, and as whose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vllm_monitor import place
from vllm_monitor.snapshot import ProcessIdentity

OWN = ProcessIdentity.own()


def test_without_the_directory_nobody_wants_numbers(tmp_path: Path) -> None:
    assert place.directory({"VLLM_MONITOR_DIR": str(tmp_path / "absent")}) is None
    assert place.directory({"VLLM_MONITOR_DIR": str(tmp_path)}) == tmp_path


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        (["vllm", "serve", "m", "--port", "8123"], 8123),
        (["vllm", "serve", "m", "--port=8123"], 8123),
        (["vllm", "serve", "m"], 8000),
        (["/x/vllm/entrypoints/openai/api_server.py", "--model", "m"], 8000),
        (["vllm", "serve", "m", "--port", "many"], 8000),
        (["vllm", "serve", "m", "--port"], 8000),
        (["offline.py"], 0),
    ],
)
def test_the_port_is_that_of_the_command_line(arguments: list[str], port: int) -> None:
    assert place.port(arguments) == port


def test_files_of_processes_that_are_gone_are_removed_and_no_others(tmp_path: Path) -> None:
    gone = f"{OWN.pid}-1-{OWN.namespace}.snap"  # the same id, another process
    kept = [f"{OWN.pid}-{OWN.start}-{OWN.namespace}.snap", "99999999-1-7.snap", "notes.txt", "other.snap"]
    for name in [gone, *kept]:
        (tmp_path / name).touch()
    place.remove_left_over(tmp_path, OWN)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_a_file_that_another_process_has_just_removed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ProcessIdentity.own()
    left = tmp_path / f"999999999-1-{own.namespace}.snap"
    left.touch()

    def gone(pid: str) -> str:
        left.unlink()
        return ""

    monkeypatch.setattr(place, "start_of", gone)
    place.remove_left_over(tmp_path, own)


def test_the_rank_is_that_of_the_process_title() -> None:
    for title, rank in (
        ("VLLM::Worker_DP0_TP1\0\0\0", "DP0_TP1"),
        ("VLLM::EngineCore_DP1", "DP1"),
        ("VLLM::EngineCore", ""),
        ("/opt/vllm/bin/python3\0/opt/vllm/bin/vllm\0serve\0", ""),
    ):
        match = place.RANK.match(title)
        assert (match[1] if match else "") == rank
