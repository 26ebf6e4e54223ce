"""One healer per journal: flock on a file beside it, which the kernel releases when the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from vllm_healer.errors import JournalError, JournalLocked

HOLDER_BYTES = 200
GUARDED = "a journal was here"  # the second line of the file


class FileLock:
    """A lock that is held from construction to `release`. Raises JournalLocked, naming the holder, when it is taken.

    `guarded` tells whether there was a journal beside it before: `guard` has said so.
    """

    def __init__(self, path: Path, holder: str) -> None:
        self.path = path
        self._file = _open(path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = next(iter(self._lines()), "") or "a process that left no name"
            os.close(self._file)
            raise JournalLocked(
                f"{path} is held by {other}; only one healer acts at a time: stop that one, or stand by until it ends"
            ) from None
        self._holder = holder.encode()[:HOLDER_BYTES].decode(errors="ignore")
        self.guarded = GUARDED in self._lines()
        self._sign()

    def guard(self) -> None:
        """Notes that there is a journal now."""
        if not self.guarded:
            self.guarded = True
            self._sign()

    def release(self) -> None:
        """Lets the lock go. It may be called twice."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _lines(self) -> list[str]:
        return os.pread(self._file, 2 * HOLDER_BYTES, 0).decode(errors="replace").splitlines()

    def _sign(self) -> None:
        """Writes the holder's name. It only helps people, so a full disk must not keep the healer from starting."""
        text = "\n".join([self._holder, GUARDED] if self.guarded else [self._holder]).encode()
        with contextlib.suppress(OSError):
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))


def _open(path: Path) -> int:
    try:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"cannot open {path}: {error.strerror}; give the healer's user write access") from error
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise JournalError(f"{path} is not a file; remove it, and the healer makes it anew")
    return opened
