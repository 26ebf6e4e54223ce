"""Prepares the file at each start: makes it or brings it up to this release, and refuses what is no journal."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine

from vllm_healer.errors import JournalError
from vllm_healer.journal import schema, store, tidy
from vllm_healer.journal.admission import Admission
from vllm_healer.journal.lock import FileLock

log = logging.getLogger(__name__)


def prepare(path: Path, lock: FileLock, admission: Admission) -> Engine:
    """The writing engine of a file that exists, works with the write-ahead log and has our tables.

    Raises JournalError for an empty file where the lock says that a journal was there: pause and cooldowns are lost.
    """
    if lock.guarded and path.is_file() and not path.stat().st_size:
        raise JournalError(
            f"journal {path} is empty, and {lock.path.name} says that there was one: pause, cooldowns and history are "
            "lost; put a copy of it back or, to begin anew, remove the empty file"
        )
    store.create_file(path)
    engine = store.writer_engine(path)
    try:
        with store.journal_errors(path), engine.begin() as connection:
            _check(connection, path)
            tidy.tidy(connection, admission)
        _let_shrink(engine, path)
    except JournalError:
        engine.dispose()
        raise
    lock.guard()
    return engine


def _let_shrink(engine: Engine, path: Path) -> None:
    try:
        store.let_shrink(engine, path)
    except sqlite3.Error as error:  # no room for a copy, say: it is as good as before
        log.info("journal %s is not written anew, and so does not shrink: %s", path, error)


def _check(connection: Connection, path: Path) -> None:
    store.require_wal(connection, path)
    store.require_trusted(path)  # again: by now its log is there, and in a shared directory others might have made it
    schema.create(connection)
    schema.check(connection, path)
    schema.complete(connection)
