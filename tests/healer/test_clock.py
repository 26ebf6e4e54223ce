from __future__ import annotations

import time
from pathlib import Path

from vllm_healer.clock import SystemClock


def test_reads_both_clocks_and_the_boot_id(tmp_path: Path) -> None:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("a76abfc5-05d8-4a9a-9ae6-7c55baa82680\n")
    now = SystemClock(boot_id).now()
    assert now.boot_id == "a76abfc5-05d8-4a9a-9ae6-7c55baa82680"
    assert abs(now.wall - time.time()) < 5
    assert abs(now.boot - float(Path("/proc/uptime").read_text().split()[0])) < 5


def test_two_clocks_of_one_boot_agree_on_the_boot() -> None:
    assert SystemClock().now().boot_id == SystemClock().now().boot_id != ""
