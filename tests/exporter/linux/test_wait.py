"""Where a process waits, from a small /proc and from our own."""

from __future__ import annotations

import os
from pathlib import Path

from vllm_exporter.linux.wait import parse_kernel_stack, read_wait

STAT = "7 (VLLM::Worker) D 1 7 7 0 -1 4194560 0 0 0 0 30 12 0 0 20 0 5 0 900 1 1 18446744073709551615\n"


def test_reads_state_time_and_the_function_it_waits_in(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "stat").write_text(STAT)
    (folder / "wchan").write_text("uvm_va_space_destroy")
    (folder / "stack").write_text("[<0>] uvm_va_space_destroy+0x60/0x90\n[<0>] do_exit+0x1/0x2\n")
    wait = read_wait(tmp_path, 7)
    assert wait is not None
    assert (wait.state, wait.cpu_ticks, wait.wchan) == ("D", 42, "uvm_va_space_destroy")
    assert wait.kernel == ("uvm_va_space_destroy", "do_exit")


def test_a_process_that_runs_or_may_not_be_seen_waits_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "stat").write_text(STAT)
    (folder / "wchan").write_text("0")
    wait = read_wait(tmp_path, 7)
    assert wait is not None
    assert (wait.wchan, wait.kernel) == ("", ())


def test_a_process_that_is_gone_is_none(tmp_path: Path) -> None:
    assert read_wait(tmp_path, 7) is None
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("nonsense")
    assert read_wait(tmp_path, 7) is None


def test_an_empty_stack_has_no_functions() -> None:
    assert parse_kernel_stack(b"") == ()


def test_we_ourselves_run() -> None:
    wait = read_wait(Path("/proc"), os.getpid())
    assert wait is not None
    assert wait.state == "R"
