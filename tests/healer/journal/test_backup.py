"""A copy of the journal is whole, closed to others, and overwrites nothing; or there is none, and it is said why."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer.errors import JournalError
from vllm_healer.journal import Journal, JournalReader
from vllm_healer.journal.backup import backup
from vllm_healer.model import Alert
from vllm_healer.ports import Clock


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "copy.sqlite"


@pytest.fixture(autouse=True)
def folder(copy: Path) -> None:
    copy.parent.mkdir()


def test_the_copy_of_a_journal_in_use_is_a_journal(
    journal: Journal, path: Path, copy: Path, clock: Clock, cases: ModuleType
) -> None:
    journal.record_alerts([cases.alert()], cases.NOW)
    journal.pause("anna: a new driver", cases.NOW)
    assert backup(path, copy) == copy.stat().st_size
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in copy.parent.iterdir()] == ["copy.sqlite"]
    restored = Journal.open(copy, clock)
    assert restored.paused() == "anna: a new driver"
    assert [alert.name for alert in restored.unassigned()] == ["VllmEngineStalled"]
    restored.close()


def test_what_is_written_meanwhile_is_in_it_up_to_one_moment(
    journal: Journal, path: Path, copy: Path, cases: ModuleType
) -> None:
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            pair = [Alert(f"{number}-{part}", "A", True, "t", {"alertname": "A"}, {}) for part in "ab"]
            journal.record_alerts(pair, cases.NOW)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            file = copy.with_name(str(number))
            backup(path, file)
            reader = JournalReader.open_read_only(file)
            assert len(reader.unassigned()) % 2 == 0  # what was acknowledged together is there together
            reader.close()
    finally:
        ended.set()
        writer.join()


@pytest.mark.parametrize("there", ["file", "link", "directory"])
def test_overwrites_nothing(journal: Journal, path: Path, copy: Path, there: str) -> None:
    if there == "file":
        copy.write_text("dear")
    elif there == "link":
        copy.symlink_to("nowhere")
    else:
        copy.mkdir()
    with pytest.raises(JournalError, match="exists and is not overwritten; give another name, or remove it first"):
        backup(path, copy)
    assert there != "file" or copy.read_text() == "dear"


def test_what_came_meanwhile_is_not_overwritten_either(
    journal: Journal, path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.lexists", lambda _: False)
    copy.write_text("dear")
    with pytest.raises(JournalError, match=f"{copy} is left of a backup that was broken off, or another one runs"):
        backup(path, copy)
    assert copy.read_text() == "dear"
    assert [file.name for file in copy.parent.iterdir()] == ["copy.sqlite"]


def test_what_a_backup_left_that_was_broken_off_is_named(journal: Journal, path: Path, copy: Path) -> None:
    part = copy.with_name("copy.sqlite.part")
    part.touch()
    with pytest.raises(JournalError, match=rf"{part} is left of a backup that was broken off.*no copy was made"):
        backup(path, copy)
    assert not copy.exists()


def test_a_directory_that_is_not_there_is_named(journal: Journal, path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot write .*/absent/copy: No such file or directory; no copy was made"):
        backup(path, tmp_path / "absent" / "copy")


def test_what_is_no_journal_is_not_copied(tmp_path: Path, copy: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        backup(tmp_path / "absent", copy)
    (tmp_path / "words").write_text("x" * 5000)
    with pytest.raises(JournalError, match="it is not a journal"):
        backup(tmp_path / "words", copy)
    assert list(copy.parent.iterdir()) == []


def test_a_disk_without_room_leaves_nothing_behind(journal: Journal, path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot (write|copy) .*no copy was made"):
        backup(path, Path("/proc/copy"))
