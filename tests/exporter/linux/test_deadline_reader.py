"""Files that may block for ever: here pipes that nobody writes to."""

from __future__ import annotations

import os
import time
from pathlib import Path

from vllm_exporter.linux.deadline_reader import DeadlineReader


def reader(deadline: float = 0.1) -> DeadlineReader[str]:
    return DeadlineReader("test", 1000, deadline)


def test_reads_what_is_there_and_says_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    one = reader()
    one.ask("a", tmp_path / "a")
    one.ask("b", tmp_path / "b")
    assert dict(one.answers(5)) == {"a": b"text", "b": None}
    assert one.open == 0
    assert one.answers(5) == []
    one.close()


def test_gives_up_what_blocks_and_reads_the_rest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stuck")
    (tmp_path / "a").write_text("text")
    one = reader()
    one.ask("stuck", tmp_path / "stuck")
    one.ask("a", tmp_path / "a")
    started = time.monotonic()
    assert dict(one.answers(5)) == {"stuck": None, "a": b"text"}
    assert time.monotonic() - started < 2
    os.close(os.open(tmp_path / "stuck", os.O_WRONLY))  # lets the abandoned thread end
    one.close()


def test_waits_no_longer_than_it_is_told_and_has_the_answer_later(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow")
    one = reader(deadline=30)
    one.ask("slow", tmp_path / "slow")
    assert one.answers(0.02) == []
    assert one.open == 1
    with open(tmp_path / "slow", "wb", buffering=0) as file:
        file.write(b"at last")
    assert one.answers(5) == [("slow", b"at last")]
    one.close()
