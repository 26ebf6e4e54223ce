"""Reads what may have been put there by anybody: no link is followed unasked, and nothing is waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: str | Path, most: int, links: bool = False) -> tuple[os.stat_result, bytes]:
    """Returns what is known of the file, and its first `most` bytes. Raises OSError, or ValueError for no path.

    `links`: those are followed, as Kubernetes hands out secrets.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW))
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return about, os.pread(file, most, 0)
    finally:
        os.close(file)
