"""Files of /proc, /sys and cgroups that are read again and again: kept open, read from their start with one call."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from vllm_exporter.errors import SourceError

# A table comes a page at a time, cut after a whole row: what is shorter than a page by more than a row was all of it.
WHOLE = 4096 - 512  # bytes
FIRST_SIZE = 8192  # bytes asked for at first; more once a file was longer
RETRY = 60  # readings between two looks for a file that is not there: to look costs as much as to read

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP)  # the last: switched off in the kernel, as pressure may be
GONE = (errno.ENODEV, errno.ESRCH)  # what the file was about has ended: a cgroup, a device, a process


class KeptFile:
    """One file. When its subject has ended, it is opened again: another of the same name may be there by now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._size = FIRST_SIZE
        self._skip = 0

    def read(self) -> bytes | None:
        """All of the file; None when it is not there. Raises SourceError when it is there and cannot be read.

        A file that was not there is looked for again after RETRY readings.
        """
        if self._fd < 0:
            return self._look_for()
        try:
            data = os.pread(self._fd, self._size, 0)
            return data if len(data) < WHOLE else self._rest(data)
        except OSError as error:
            return self._lost(error)

    def close(self) -> None:
        """It may be read again afterwards, and is opened for that."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _look_for(self) -> bytes | None:
        if self._skip > 0:
            self._skip -= 1
            return None
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            return self._rest(os.pread(self._fd, self._size, 0))
        except OSError as error:
            self.close()
            if error.errno not in ABSENT + GONE:
                raise SourceError(f"{self.path}: cannot be read: {error.strerror}") from None
            self._skip = RETRY
            return None

    def _lost(self, error: OSError) -> bytes | None:
        self.close()
        if error.errno not in GONE:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror}") from None
        return self._look_for()

    def _rest(self, data: bytes) -> bytes:
        while len(data) >= WHOLE and (more := os.pread(self._fd, self._size, len(data))):
            data += more
        self._size = max(self._size, len(data) + FIRST_SIZE)
        return data
