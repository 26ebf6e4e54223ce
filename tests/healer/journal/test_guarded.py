"""An empty file where a journal was: pause and cooldowns would be gone without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_healer.errors import JournalError, JournalLocked
from vllm_healer.journal import Journal
from vllm_healer.model import Instant
from vllm_healer.ports import Clock

NOW = Instant(1_700_000_000.0, 50_000.0, "boot-a")


def test_a_journal_that_was_emptied_is_refused_and_says_what_to_do(path: Path, clock: Clock) -> None:
    journal = Journal.open(path, clock)
    journal.pause("anna: upgrading", NOW)
    journal.close()
    path.write_bytes(b"")
    words = rf"{path} is empty, and journal.sqlite.lock says that there was one: pause, cooldowns and history are lost"
    for _ in range(2):
        with pytest.raises(JournalError, match=words):
            Journal.open(path, clock)
    path.unlink()
    journal = Journal.open(path, clock)
    assert journal.paused() == ""
    journal.close()


def test_a_journal_that_was_moved_away_begins_anew(path: Path, clock: Clock) -> None:
    """As the message about a damaged one advises."""
    Journal.open(path, clock).close()
    path.rename(path.with_name("old.sqlite"))
    Journal.open(path, clock).close()


def test_an_empty_file_where_none_was_is_a_new_journal(path: Path, clock: Clock) -> None:
    """A healer that was killed before its first table leaves one, and an administrator may make one."""
    path.touch()
    path.with_name("journal.sqlite.lock").write_text("vllm-healer pid 1234 on gpu1")
    Journal.open(path, clock).close()


def test_the_holder_is_named_without_the_mark(path: Path, clock: Clock) -> None:
    journal = Journal.open(path, clock, "vllm-healer pid 7 on gpu1")
    with pytest.raises(JournalLocked, match=r"is held by vllm-healer pid 7 on gpu1; only one"):
        Journal.open(path, clock)
    journal.close()
    again = Journal.open(path, clock, "pid 8")
    assert path.with_name("journal.sqlite.lock").read_text() == "pid 8\na journal was here"
    again.close()
