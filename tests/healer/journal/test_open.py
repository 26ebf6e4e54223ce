"""Opening: who may, which files, which versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from vllm_healer.errors import JournalError, JournalLocked
from vllm_healer.journal import Journal
from vllm_healer.model import Alert, Instant
from vllm_healer.ports import Clock

NOW = Instant(1_700_000_000.0, 50_000.0, "boot-a")
ALERT = Alert("f1", "VllmDown", True, "2023-11-14T22:13:20Z", {"alertname": "VllmDown", "server": "gpu1:8000"}, {})

HOLDER = """
import sys
from pathlib import Path
from vllm_healer.clock import SystemClock
from vllm_healer.journal import Journal
journal = Journal.open(Path(sys.argv[1]), SystemClock(), "vllm-healer pid 1234 on gpu1")
print("open", flush=True)
sys.stdin.read()
"""


def execute(path: Path, statement: str) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_second_healer_is_told_who_holds_the_journal(path: Path, clock: Clock) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(JournalLocked, match="is held by vllm-healer pid 1234 on gpu1; only one healer acts"):
            Journal.open(path, clock)
        other.kill()
        other.wait()
        Journal.open(path, clock).close()  # the kernel released the lock with its holder


def test_a_commit_is_synced_to_the_disk(journal: Journal) -> None:
    """2 is FULL: the write-ahead log is synced in every commit (https://www.sqlite.org/pragma.html#pragma_synchronous)."""
    assert journal._writer.submit(lambda connection: connection.scalar(text("PRAGMA synchronous"))) == 2


def test_a_journal_that_was_closed_can_be_opened_again(path: Path, clock: Clock) -> None:
    for deliveries in (1, 2):
        journal = Journal.open(path, clock)
        journal.record_alerts([ALERT], NOW)
        assert [stored.deliveries for stored in journal.unassigned()] == [deliveries]
        journal.close()


def test_makes_its_directory_and_keeps_its_file_private(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "state" / "healer" / "journal.sqlite"
    Journal.open(path, clock).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_newer_schema_is_refused_and_left_alone(path: Path, clock: Clock) -> None:
    Journal.open(path, clock).close()
    execute(path, "UPDATE meta SET value = '2' WHERE key = 'schema'")
    words = r"written by a newer healer \(schema 2, this one knows 1\); install"
    with pytest.raises(JournalError, match=words):
        Journal.open(path, clock)
    with pytest.raises(JournalError, match=words):
        Journal.read_only(path)
    execute(path, "UPDATE meta SET value = '1' WHERE key = 'schema'")
    Journal.open(path, clock).close()


def test_a_file_that_is_no_database_is_not_touched(path: Path, clock: Clock) -> None:
    path.write_text("not a database, " * 100)
    with pytest.raises(JournalError, match="it is not a journal; give --journal another path"):
        Journal.open(path, clock)
    assert path.read_text() == "not a database, " * 100


def test_reads_beside_a_healer_that_writes(journal: Journal, path: Path) -> None:
    reader = Journal.read_only(path)
    journal.record_alerts([ALERT], NOW)
    assert [entry.words for entry in reader.history(10)] == ["VllmDown on gpu1:8000 fires"]
    journal.note(None, "note", "later", NOW)
    assert reader.history(1)[0].words == "later"
    reader.close()


def test_reads_when_no_healer_runs(path: Path, clock: Clock) -> None:
    journal = Journal.open(path, clock)
    journal.note(None, "note", "the last words", NOW)
    journal.close()
    reader = Journal.read_only(path)
    assert reader.history(1)[0].words == "the last words"
    reader.close()


def test_reading_what_is_not_there_makes_no_file(path: Path) -> None:
    with pytest.raises(JournalError, match=r"there is no journal .*; run `vllm-healer serve` first"):
        Journal.read_only(path)
    assert not path.exists()


def test_reading_another_programs_database_says_so(path: Path) -> None:
    execute(path, "CREATE TABLE other (x INTEGER)")
    with pytest.raises(JournalError, match="is not a healer's journal"):
        Journal.read_only(path)


def test_a_network_file_system_is_refused(path: Path, tmp_path: Path, clock: Clock) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 21 0:50 / {tmp_path} rw - nfs4 filer:/home rw\n")
    with pytest.raises(JournalError, match=r"on a network file system \(nfs4 at .*give --journal a path on a local"):
        Journal.open(path, clock, mountinfo=mountinfo)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_access_is_named(tmp_path: Path, clock: Clock) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match="give the healer's user write access"):
        Journal.open(tmp_path / "journal.sqlite", clock)
