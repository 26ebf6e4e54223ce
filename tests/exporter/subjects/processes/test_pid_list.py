"""New processes without a walk over all of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.processes.pid_list import FULL_EVERY, MOST, PidList, is_leader, parse_last


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc that is ours, as far as can be told, with the last id 500."""
    (tmp_path / "self").symlink_to(str(os.getpid()))
    last(tmp_path, 500)
    start(tmp_path, 1)
    start(tmp_path, 400)
    return tmp_path


def last(proc: Path, pid: int) -> None:
    (proc / "loadavg").write_text(f"0.20 0.18 0.12 1/80 {pid}\n")


def start(proc: Path, pid: int, leader: int = 0) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "status").write_text(f"Name:\tx\nTgid:\t{leader or pid}\nPid:\t{pid}\n")


def looked(proc: Path) -> PidList:
    pids = PidList(proc)
    assert pids.all() == {1, 400}
    return pids


def test_nothing_is_new_while_no_id_was_given_out(proc: Path) -> None:
    pids = looked(proc)
    start(proc, 77)  # cannot be: shows that nobody looks
    assert pids.unchanged()
    assert pids.new() == set()


def test_looks_at_the_ids_that_were_given_out_and_leaves_out_threads(proc: Path) -> None:
    pids = looked(proc)
    start(proc, 501)
    start(proc, 502, leader=400)
    last(proc, 503)
    assert not pids.unchanged()
    assert pids.new() == {501}
    assert pids.new() == set()


def test_one_that_appears_a_moment_after_its_id_is_found_at_the_next_look(proc: Path) -> None:
    pids = looked(proc)
    last(proc, 501)
    assert pids.new() == set()
    start(proc, 501)
    assert pids.new() == {501}


@pytest.mark.parametrize("now", [500 + MOST + 1, 3])
def test_after_many_and_when_counting_began_anew_all_are_listed(proc: Path, now: int) -> None:
    pids = looked(proc)
    last(proc, now)
    assert pids.new() is None


def test_all_are_listed_now_and_then_whatever_the_count_says(proc: Path) -> None:
    pids = looked(proc)
    assert [pids.new() for _ in range(FULL_EVERY)] == [set()] * (FULL_EVERY - 1) + [None]


def test_in_another_namespace_all_are_listed_each_time(proc: Path) -> None:
    (proc / "self").unlink()
    (proc / "self").symlink_to("1")
    pids = looked(proc)
    assert pids.new() is None
    assert not pids.unchanged()


def test_a_count_that_makes_no_sense_is_not_used() -> None:
    assert parse_last(b"0.20 0.18 0.12 1/80 11206\n") == 11206
    assert parse_last(b"0.20 0.18") is None
    assert parse_last(b"0.20 0.18 0.12 1/80 x\n") is None


def test_a_missing_proc_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be listed"):
        PidList(tmp_path / "nowhere").all()


def test_finds_a_real_process() -> None:
    pids = PidList(Path("/proc"))
    assert os.getpid() in pids.all()
    child = subprocess.Popen(["sleep", "5"])
    try:
        new = pids.new()
        assert new is None or child.pid in new
        assert is_leader(Path("/proc"), child.pid)
    finally:
        child.kill()
        child.wait()
        pids.close()
