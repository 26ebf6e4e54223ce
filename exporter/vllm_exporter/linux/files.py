"""Small files and directories of /proc, /sys and cgroups."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from vllm_exporter.errors import SourceError

MAX_SIZE = 4 * 1024 * 1024  # bytes: the longest, a table of 28,000 sockets
CHUNK = (
    64 * 1024
)  # bytes asked for at once: /proc/sys refuses, with ENOMEM, a read of more than the kernel can allocate
ABSENT = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EOPNOTSUPP,  # switched off in the kernel, as pressure may be
    errno.ENODEV,  # what it is about has ended: a cgroup, a device
    errno.ESRCH,  # or a process
)


def read_bytes(path: Path | str) -> bytes | None:
    """All of a file; None when it is not there. Raises SourceError when it is there and cannot be read."""
    try:
        return _read(path, MAX_SIZE)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def read_file(path: Path | str, size: int) -> bytes | None:
    """At most `size` bytes. None when it is not there, or not for us to read: of a process that is somebody else's."""
    try:
        return _read(path, size)
    except OSError:
        return None


def read_word(path: Path) -> str:
    """A file's one line; '' when it is not there, or says nothing, as `speed` of a network device that is down."""
    return (read_file(path, 4096) or b"").decode("ascii", "replace").strip()


def read_link(path: Path | str) -> str:
    """Where a link leads, as it is written; '' when it is none."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def list_names(folder: Path) -> tuple[str, ...]:
    """() when there is no such directory. Raises SourceError when it cannot be listed."""
    try:
        return tuple(sorted(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from None


def _read(path: Path | str, size: int) -> bytes:
    """In a loop: a read of a long table in /proc returns a page or so of whole lines, however much was asked for."""
    data = b""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while len(data) < size and (more := os.read(file, min(CHUNK, size - len(data)))):
            data += more
    finally:
        os.close(file)
    return data
