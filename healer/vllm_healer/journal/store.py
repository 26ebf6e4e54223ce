"""SQLite engines, set up so that a commit is on the disk when it returns, and errors in the healer's words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from vllm_healer.errors import JournalError
from vllm_healer.trust import distrust_file, trusted_users

# Another program (a backup, a sqlite3 shell) may hold the file for a moment; Alertmanager waits longer than this.
BUSY_SECONDS = 5

LOG_BYTES = 16 * 1024 * 1024  # of the write-ahead log between storms; SQLite keeps some 4 MiB of it in use

PAGES = 64  # given back to the disk in one transaction, of 4 KiB each
SPARE = 256  # free pages that stay for what comes next: a file that shrinks and grows all day gains nothing
# Bytes of an earlier release's file that is rewritten at the start: in less than a second, by way of a temporary file.
CONVERTED = 48 * 1024 * 1024

FULL = "its disk is full: nothing was acknowledged, Alertmanager sends it again; free some space"

# By the prefix of SQLite's name for the error, first match: what it means for the reader, and the fix.
WORDS = {
    "SQLITE_FULL": FULL,
    "SQLITE_IOERR_SHMSIZE": FULL,  # no room for the index of the write-ahead log
    "SQLITE_BUSY": "another program holds it locked; close that program (a sqlite3 shell or a backup)",
    "SQLITE_READONLY": "it cannot be written; give the healer's user write access to the file and its directory",
    "SQLITE_CANTOPEN": "it cannot be opened; check that it exists and that this user may read and write its directory",
    "SQLITE_NOTADB": "it is not a journal; give --journal another path",
    "SQLITE_CORRUPT": "it is damaged; move it aside and restart: a new one begins, without the old cooldowns",
    "SQLITE_IOERR": "the disk did not take or give the data; see the kernel's log (dmesg)",
}


def writer_engine(path: Path) -> Engine:
    """An engine with one connection that writes. A transaction takes the write lock at its start, so what it reads
    stays true."""
    engine = _engine(str(path), begin="BEGIN IMMEDIATE")
    event.listen(engine, "connect", _durable)
    return engine


def reader_engine(path: Path) -> Engine:
    """An engine for reading beside the writer, in the writer's process."""
    engine = _engine(str(path), begin="BEGIN")
    event.listen(engine, "connect", _query_only)
    return engine


def read_only_engine(path: Path) -> Engine:
    """An engine for another process, which cannot write whatever it tries."""
    return _engine(f"file:{quote(str(path))}?mode=ro", begin="BEGIN", uri=True)


def create_directory(path: Path) -> None:
    """Makes the directory that holds the journal, its log and its lock."""
    with _access(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)


def require_trusted(path: Path) -> None:
    """Raises JournalError when others may write the journal: it says which processes are ours to end."""
    users, problem = trusted_users(), ""
    for name in ("", "-wal", "-shm", ".lock"):
        file = path.with_name(path.name + name)
        problem = problem or distrust_file(file, users)
        if file.is_symlink():
            problem = problem or f"{file} is a link, and none is followed; give --journal the file itself"
    if problem:
        raise JournalError(f"journal {path}: {problem}; or give --journal a file in a directory of the healer's own")


def create_file(path: Path) -> None:
    """Makes an empty file that only its owner reads, for alerts may carry what is nobody else's business."""
    with _access(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """Turns the database's errors into JournalError."""
    try:
        yield
    except DBAPIError as error:
        raise JournalError(describe(path, error.orig)) from error
    except TimeoutError as error:
        raise JournalError(f"{path}: no connection became free; too many readers at once, try again") from error


def describe(path: Path, error: BaseException | None) -> str:
    """A sentence with the file, what is wrong with it, and the fix."""
    name = getattr(error, "sqlite_errorname", "")
    known = (words for prefix, words in WORDS.items() if name.startswith(prefix))
    return f"journal {path}: {next(known, 'see the message of the database')} ({error})"


def changes(connection: Connection) -> int:
    """The number of rows that this connection has changed since it was opened."""
    driver: Any = connection.connection.driver_connection
    return int(driver.total_changes)  # without a statement: it is asked twice in each transaction


def require_wal(connection: Connection, path: Path) -> None:
    """Raises JournalError where SQLite could not switch to its write-ahead log."""
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        raise JournalError(f"journal {path}: SQLite has no write-ahead log there (mode {mode}); use a local disk")


def let_shrink(engine: Engine, path: Path) -> None:
    """Lets a file of an earlier release give free pages back, once, by writing it anew.

    A large one stays as it is: what is freed in it is used again, so that it grows no more. Raises sqlite3.Error.
    """
    with closing(engine.raw_connection()) as connection:  # in no transaction, as VACUUM demands
        cursor = connection.cursor()
        if cursor.execute("PRAGMA auto_vacuum").fetchone()[0] or path.stat().st_size > CONVERTED:
            return
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
        cursor.execute("VACUUM")


def give_back(connection: Connection) -> bool:
    """Gives a few free pages at the end of the file back to the disk. True if there are more."""
    excess = _pragma(connection, "freelist_count") - SPARE
    if excess <= 0 or not _pragma(connection, "auto_vacuum"):
        return False
    for _ in range(min(excess, PAGES)):
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")  # the driver takes one step of it, so one page
    return excess > PAGES


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


@contextmanager
def _access(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"cannot open {path}: {error.strerror}; give the healer's user write access") from error


def _engine(database: str, begin: str, uri: bool = False) -> Engine:
    """Makes an engine whose transactions we begin: the driver's own BEGIN would come only with the first write."""
    url = URL.create("sqlite", database=database, query={"uri": "true"} if uri else {})
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _no_implicit_begin(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _durable(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Sets FULL, which syncs the write-ahead log in every commit; NORMAL would lose the last ones in a power cut.

    A new file can give free pages back, and a log that a storm has made long is cut after it.
    """
    size = f"journal_size_limit={LOG_BYTES}"
    for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", size):
        connection.cursor().execute(f"PRAGMA {pragma}")


def _query_only(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.cursor().execute("PRAGMA query_only=ON")
