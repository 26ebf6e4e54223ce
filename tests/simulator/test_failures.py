"""The list of failures, scripts of them, and what outlives a process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.simulator.errors import NotPossible, OptionError, UnknownFailure
from deploy.simulator.failures.catalogue import FAILURES, find
from deploy.simulator.failures.script import Planned, parse_script
from deploy.simulator.failures.state import FileState, Lasting, MemoryState, NoState, open_state, script_began, take
from deploy.simulator.failures.switch import possible

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"

ASKED_FOR = {
    "crash", "exit0", "hang", "hang_idle", "silent_prefill", "503", "saturate", "slow_start", "start_never_ends",
    "crash_loop", "client_aborts", "oom_log", "kv_leak", "memory_leak", "poison", "worker_slow", "gpu_lost", "paused",
    "asleep", "port_conflict", "corrupt",
}  # fmt: skip


def test_every_failure_that_was_asked_for_is_there() -> None:
    assert set(FAILURES) >= ASKED_FOR


def test_the_page_names_every_failure() -> None:
    page = PAGE.read_text()
    assert [how for how in FAILURES if f"`{how}`" not in page] == []


def test_an_unknown_failure_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownFailure, match=r"unknown failure 'hung'; known: crash, exit0, hang"):
        find("hung")


def test_what_needs_processes_is_refused_without_them() -> None:
    with pytest.raises(NotPossible, match="use `serve` instead of `fleet`"):
        possible(find("orphan"), processes=False)
    possible(find("hang"), processes=False)


def test_a_script_is_ordered_by_time_and_knows_comments() -> None:
    text = "90 mend\n\n# begins well\n30 hang  # then not\n120 crash_loop times=3\n"
    assert parse_script(text, 0) == (Planned(30.0, "hang"), Planned(90.0, "mend"), Planned(120.0, "crash_loop", 3))


def test_the_seed_decides_the_moment_and_the_random_failure() -> None:
    text = "100..200 random\n"
    (first,) = parse_script(text, 1)
    assert 100 <= first.at <= 200
    assert parse_script(text, 1) == (first,)
    assert len({parse_script(text, seed)[0].how for seed in range(20)}) > 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("30", "line 1: '30' stands alone"),
        ("soon hang", "line 1: 'soon' is neither seconds nor a range"),
        ("30 hung", "line 1: unknown failure 'hung'"),
        ("30 hang twice", "line 1: 'twice' is not understood: only times=N"),
        ("30 crash_loop times=0", "line 1: 'times=0' is not understood"),
    ],
)
def test_a_script_line_that_cannot_be_used_is_named(line: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse_script(line, 0)


def test_nothing_lasts_without_a_directory() -> None:
    state = open_state(None)
    assert isinstance(state, NoState)
    with pytest.raises(NotPossible, match="--state DIR"):
        state.write(Lasting("crash_loop"))


def test_a_lasting_failure_concerns_every_start_until_it_is_mended(tmp_path: Path) -> None:
    FileState(tmp_path).write(Lasting("crash_loop"))
    assert [take(FileState(tmp_path)) for _ in range(3)] == ["crash_loop"] * 3
    FileState(tmp_path).write(None)
    assert take(FileState(tmp_path)) == ""


def test_times_are_counted_down() -> None:
    state = MemoryState()
    state.write(Lasting("slow_start", 2))
    assert [take(state) for _ in range(3)] == ["slow_start", "slow_start", ""]


def test_a_lost_gpu_is_written_for_other_readers(tmp_path: Path) -> None:
    state = FileState(tmp_path)
    state.write(Lasting("gpu_lost"))
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert (found["lost"], found["xid"]) == (True, 79)
    state.write(None)
    assert not (tmp_path / "gpu.json").exists()


def test_a_file_of_somebody_else_is_not_understood(tmp_path: Path) -> None:
    (tmp_path / "failures.json").write_text("[]")
    with pytest.raises(OptionError, match="remove it"):
        FileState(tmp_path).read()


def test_a_script_goes_on_after_a_restart_but_not_after_a_reboot(tmp_path: Path) -> None:
    assert script_began(None, 50.0) == 50.0
    assert script_began(tmp_path, 100.0) == 100.0
    assert script_began(tmp_path, 160.0) == 100.0
    assert script_began(tmp_path, 5.0) == 5.0
