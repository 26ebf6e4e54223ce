"""Follows a log file: through rotation, truncation and a restart of the exporter, in bounded steps."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.subjects.logs.source import MAX_READ, Batch, LineCutter, Position, RawLine

HEAD = 256  # bytes at the start of a file that identify it: a copied and truncated one may have grown back
MAX_BEHIND = 64 * 1024 * 1024  # unread bytes; of more than that the oldest are given up
PATIENCE = 3  # readings after which a line without an end counts as ended: the writer died in it


class LogFile:
    """One file by its path. Read only; it may not be there yet.

    A file that is there when the exporter sees it for the first time is followed from its end: its lines are old. One
    that appears later is read from its start.
    """

    def __init__(self, path: Path, position: Position, open_file: Callable[[Path], int] | None = None) -> None:
        self._path = path
        self._open_file = open_file or _open
        self._known = dict(position)
        self._fd: int | None = None
        self._identity = (0, 0)
        self._offset = 0  # up to which the file was read
        self._head = b""
        self._first = True
        self._still = 0  # readings in which nothing came
        self._cutter = LineCutter()

    def read(self) -> Batch:
        """Returns new lines. Raises NoData when there is no such file, SourceError when it may not be read."""
        lines: list[bytes] = []
        if self._fd is not None and self._moved():
            data, unread = self._pull(MAX_READ)
            lines = self._cutter.feed(data)
            if unread:
                return self._batch(lines, 0, unread)
            lines += self._cutter.flush()
            self.close()
            self._known = {"offset": 0}  # the file in its place is new, even if it has the same inode
        try:
            skipped = self._ready()
        except NoData:
            if not lines:
                raise
            return self._batch(lines, 0, 0)
        data, unread = self._pull(MAX_READ)
        lines += self._cutter.feed(data)
        self._still = 0 if data else self._still + 1
        if self._still == PATIENCE:
            lines += self._cutter.flush()
        return self._batch(lines, skipped, unread)

    def position(self) -> Position:
        if self._fd is None:
            return self._known
        device, inode = self._identity
        offset = self._offset - self._cutter.waiting
        head = self._head[:offset]
        known = {"device": device, "inode": inode, "offset": offset}
        return {**known, "head_bytes": len(head), "head_sum": crc32(head)}  # not the text itself: it may hold anything

    def close(self) -> None:
        if self._fd is not None:
            self._known = dict(self.position())
            os.close(self._fd)
            self._fd = None

    def _ready(self) -> int:
        """Opens the file if it is not open, and starts anew in one that was truncated. Returns the bytes given up."""
        if self._fd is None:
            self._open()
        fd = self._fd
        assert fd is not None  # _open raises when it cannot
        try:
            size = os.fstat(fd).st_size
            head = os.pread(fd, HEAD, 0)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from None
        if size < self._offset or not head.startswith(self._head):
            self._offset, self._cutter = 0, LineCutter()
        self._head = head
        behind = size - self._offset
        if behind <= MAX_BEHIND:
            return 0
        self._offset = size - MAX_BEHIND - 1  # with the byte before: it shows whether a line begins here
        self._cutter.skip()
        return behind - MAX_BEHIND

    def _open(self) -> None:
        fd = self._open_path()
        try:
            seen = os.fstat(fd)
            head = os.pread(fd, HEAD, 0)
        except OSError as error:
            os.close(fd)
            raise SourceError(f"{self._path}: {error.strerror}") from None
        self._fd, self._identity, self._cutter = fd, (seen.st_dev, seen.st_ino), LineCutter()
        self._offset = self._start(seen, head)
        self._head, self._first, self._still = head, False, 0

    def _open_path(self) -> int:
        try:
            return self._open_file(self._path)
        except FileNotFoundError:
            self._first = False
            raise NoData(f"{self._path} does not exist (yet)") from None
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from None

    def _start(self, seen: os.stat_result, head: bytes) -> int:
        """Returns the offset to begin at: where the last exporter ended, if this is still that file."""
        known = self._known
        offset, length = known.get("offset"), known.get("head_bytes")
        if (known.get("device"), known.get("inode")) != (seen.st_dev, seen.st_ino):
            offset = None
        if isinstance(offset, int) and isinstance(length, int) and 0 <= length <= offset <= seen.st_size:
            return offset if crc32(head[:length]) == known.get("head_sum") else 0
        return seen.st_size if self._first and not known else 0

    def _moved(self) -> bool:
        """True if the path leads to another file, or nowhere. Raises SourceError when that cannot be known: a share
        that does not answer for a moment has the same file afterwards, which must not be read from its start again."""
        try:
            now = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from None
        return (now.st_dev, now.st_ino) != self._identity

    def _pull(self, limit: int) -> tuple[bytes, int]:
        """Returns the next bytes, and how many are left."""
        assert self._fd is not None  # callers have opened it
        try:
            data = os.pread(self._fd, limit, self._offset)
            self._offset += len(data)
            return data, max(0, os.fstat(self._fd).st_size - self._offset) if len(data) == limit else 0
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from None

    def _batch(self, lines: list[bytes], skipped: int, unread: int) -> Batch:
        made = tuple(RawLine(line) for line in lines)
        return Batch(made, unread == 0, self._cutter.take_cut(), skipped, unread)


def _open(path: Path) -> int:
    """Opens the file with O_NONBLOCK: a named pipe must not hold the thread. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if os.path.isdir(fd):
        os.close(fd)
        raise IsADirectoryError(21, "is a directory")
    return fd
