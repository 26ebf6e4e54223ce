"""Copies a journal, also while a healer writes it: one file, as it was at one moment, that is whole or not there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from vllm_healer.errors import JournalError
from vllm_healer.journal.reader import JournalReader
from vllm_healer.journal.store import BUSY_SECONDS


def backup(journal: Path, copy: Path) -> int:
    """Writes the copy, closed to other users, and returns its size in bytes.

    Nothing is ever overwritten: the copy gets its name when it is complete and on the disk. Raises JournalError.
    """
    JournalReader.open_read_only(journal).close()  # says what is no journal
    if os.path.lexists(copy):
        raise JournalError(f"{copy} exists and is not overwritten; give another name, or remove it first")
    part = copy.with_name(f"{copy.name}.part")
    try:
        return _write(journal, part, copy)
    except FileExistsError as error:
        words = "is left of a backup that was broken off, or another one runs; remove it if none does"
        raise JournalError(f"{error.filename2 or error.filename} {words}; no copy was made") from None
    except OSError as error:
        raise JournalError(f"cannot write {copy}: {error.strerror}; no copy was made") from error
    except sqlite3.Error as error:
        words = "no copy was made; is there room for it?"
        raise JournalError(f"cannot copy {journal} to {copy}: {error}; {words}") from error


def _write(journal: Path, part: Path, copy: Path) -> int:
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        _copy(journal, part)
        _sync(part)
        os.link(part, copy)  # unlike rename(2) it does not replace what has come meanwhile
    finally:
        part.unlink(missing_ok=True)
    _sync(copy.parent)
    return copy.stat().st_size


def _copy(journal: Path, part: Path) -> None:
    """Reads all in one transaction, beside which the healer writes on; the copy needs no log beside it to be read."""
    with (
        closing(sqlite3.connect(f"file:{quote(str(journal))}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as source,
        closing(sqlite3.connect(part)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
