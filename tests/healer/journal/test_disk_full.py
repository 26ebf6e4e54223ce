"""A full disk: nothing is acknowledged, nothing old is lost, and it works again when there is space."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text

from vllm_healer.errors import JournalError
from vllm_healer.journal import Journal
from vllm_healer.model import Alert, Instant
from vllm_healer.ports import Clock

NOW = Instant(1_700_000_000.0, 50_000.0, "boot-a")


def alert(number: int) -> Alert:
    labels = {"alertname": "VllmDown", "server": f"gpu{number}:8000", "padding": "x" * 2000}
    return Alert(f"f{number}", "VllmDown", True, "2023-11-14T22:13:20Z", labels, {})


def fill(journal: Journal) -> int:
    """Records one alert a time until the disk refuses; how many were acknowledged."""
    for number in range(5000):
        try:
            journal.record_alerts([alert(number)], NOW)
        except JournalError as error:
            if "its disk is full: nothing was acknowledged" in str(error):
                return number
            raise
    raise AssertionError("the disk never filled up")


def limit_pages(journal: Journal, pages: int) -> None:
    journal._writer.submit(lambda connection: connection.execute(text(f"PRAGMA max_page_count={pages}")).scalar())


def test_refuses_when_the_file_may_not_grow_and_goes_on_when_it_may(journal: Journal) -> None:
    limit_pages(journal, 100)
    acknowledged = fill(journal)
    assert len(journal.unassigned()) == acknowledged > 0
    limit_pages(journal, 10_000)
    journal.record_alerts([alert(acknowledged)], NOW)
    assert len(journal.unassigned()) == acknowledged + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """1 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not mount(disk, "size=1m"):
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def mount(disk: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_readiness_sees_the_disk_that_refuses_alerts(small_disk: Path, clock: Any, cases: ModuleType) -> None:
    """SQLite does not write what stays as it is: an update to the same value would find a full disk writable."""
    journal = Journal.open(small_disk / "journal.sqlite", clock)
    journal.check_writable()
    fill(journal)
    clock.time = cases.at(1)
    with pytest.raises(JournalError, match="its disk is full"):
        journal.check_writable()
    assert mount(small_disk, "remount,size=8m")
    clock.time = cases.at(2)
    journal.check_writable()
    journal.close()


def test_survives_a_full_disk(small_disk: Path, clock: Clock) -> None:
    journal = Journal.open(small_disk / "journal.sqlite", clock)
    acknowledged = fill(journal)
    assert acknowledged > 0
    assert len(journal.unassigned()) == acknowledged
    with pytest.raises(JournalError):
        journal.record_alerts([alert(number) for number in range(5000, 5100)], NOW)
    assert len(journal.unassigned()) == acknowledged

    assert mount(small_disk, "remount,size=8m")
    journal.check_writable()
    journal.record_alerts([alert(acknowledged)], NOW)
    assert len(journal.unassigned()) == acknowledged + 1
    journal.close()


def test_opening_on_a_full_disk_says_that_it_is_full(small_disk: Path, clock: Clock) -> None:
    path = small_disk / "journal.sqlite"
    Journal.open(path, clock).close()
    ballast = os.open(small_disk / "ballast", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(ballast, bytes(4096))
    with pytest.raises(JournalError, match="its disk is full"):
        Journal.open(path, clock)
    os.ftruncate(ballast, 0)
    os.close(ballast)
    Journal.open(path, clock).close()
