"""One healer per journal: flock on a file beside it, which the kernel releases when the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from vllm_healer.errors import JournalError, JournalLocked

HOLDER_BYTES = 200


class FileLock:
    """A lock that is held from construction to `release`. Raises JournalLocked, naming the holder, when it is taken."""

    def __init__(self, path: Path, holder: str) -> None:
        self._file = _open(path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(self._file, HOLDER_BYTES, 0).decode(errors="replace") or "a process that left no name"
            os.close(self._file)
            raise JournalLocked(
                f"{path} is held by {other}; only one healer acts at a time: stop that one, or stand by until it ends"
            ) from None
        self._sign(holder)

    def release(self) -> None:
        """Lets the lock go. It may be called twice."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _sign(self, holder: str) -> None:
        """Writes the holder's name. It only helps people, so a full disk must not keep the healer from starting."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, holder.encode()[:HOLDER_BYTES], 0)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"cannot open {path}: {error.strerror}; give the healer's user write access") from error
