"""Looking at a rank's process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.exporter.fake_proc import FakeProc
from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.stat import read_stat
from vllm_exporter.subjects.parallel.rank_looks import parse_run_delay, read_look


def test_reads_state_cpu_time_and_time_in_the_run_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_exporter.subjects.parallel.rank_looks.TICKS", 100)
    proc = FakeProc(tmp_path / "proc")
    proc.process(100, 1, "VLLM::Worker", start=7, state="T", ticks=250)
    (proc.root / "100/schedstat").write_text("1000 2500000000 5\n")
    look = read_look(proc.root, Ref(100, 7), 3.0)
    assert look is not None
    assert (look.at, look.state, look.cpu, look.run_delay) == (3.0, "T", 2.5, 2.5)


def test_another_process_with_the_same_id_and_a_zombie_are_not_the_rank(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path / "proc")
    proc.process(100, 1, "VLLM::Worker", start=7)
    assert read_look(proc.root, Ref(100, 8), 0.0) is None
    proc.process(100, 1, "VLLM::Worker", start=7, state="Z")
    assert read_look(proc.root, Ref(100, 7), 0.0) is None
    assert read_look(proc.root, Ref(101, 7), 0.0) is None


def test_a_kernel_that_counts_no_run_delay_says_nothing() -> None:
    assert parse_run_delay(None) is None
    with pytest.raises(SourceError, match="expected three numbers, got b'1 2'"):
        parse_run_delay(b"1 2")


def test_looks_at_this_process() -> None:
    stat = read_stat(Path("/proc"), os.getpid())
    assert stat is not None
    first, second = (read_look(Path("/proc"), stat.ref, now) for now in (0.0, 1.0))
    assert first is not None
    assert second is not None
    assert second.cpu >= first.cpu > 0
