"""Reads small files and directories of /proc, /sys and cgroups."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from vllm_exporter.errors import SourceError

MAX_SIZE = 4 * 1024 * 1024  # bytes: the longest, a table of 28,000 sockets
CHUNK = 64 * 1024  # bytes of one read: /proc/sys refuses, with ENOMEM, more than the kernel can allocate
ABSENT = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EOPNOTSUPP,  # switched off in the kernel, as pressure may be
    errno.ENODEV,  # its cgroup or device is gone
    errno.ESRCH,  # its process is gone
)


def read_bytes(path: Path | str) -> bytes | None:
    """Returns all of a file; None when it is not there. Raises SourceError when it is there but cannot be read."""
    try:
        return _read(path, MAX_SIZE)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def read_file(path: Path | str, size: int) -> bytes | None:
    """Returns at most `size` bytes; None when the file is not there or not readable, as of another user's process."""
    try:
        return _read(path, size)
    except OSError:
        return None


def read_word(path: Path) -> str:
    """Returns a file's one line; '' when it cannot be read, as `speed` of a network device that is down."""
    return (read_file(path, 4096) or b"").decode("ascii", "replace").strip()


def read_link(path: Path | str) -> str:
    """Returns the target of a link as it is written; '' when it is no link."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def list_names(folder: Path) -> tuple[str, ...]:
    """Returns the sorted names in a directory; () when there is none. Raises SourceError when it cannot be listed."""
    try:
        return tuple(sorted(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from None


def _read(path: Path | str, size: int) -> bytes:
    """Reads in a loop: one read of a long table in /proc returns only a page or so of whole lines."""
    data = b""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while len(data) < size and (more := os.read(file, min(CHUNK, size - len(data)))):
            data += more
    finally:
        os.close(file)
    return data
