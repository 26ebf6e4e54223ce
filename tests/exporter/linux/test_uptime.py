"""The age of a process by the kernel's clock."""

from __future__ import annotations

from pathlib import Path

from vllm_exporter.linux.uptime import TICKS, read_age


def test_counts_from_the_start_in_ticks(tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("350735.47 234388.90\n")
    assert round(read_age(tmp_path, 350_000 * TICKS) or 0.0, 2) == 735.47


def test_a_start_that_the_rounding_puts_into_the_future_was_now(tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("10.00 1.0\n")
    assert read_age(tmp_path, 11 * TICKS) == 0.0


def test_no_answer_when_the_kernel_gives_none(tmp_path: Path) -> None:
    assert read_age(tmp_path, 1) is None
    (tmp_path / "uptime").write_text("")
    assert read_age(tmp_path, 1) is None
