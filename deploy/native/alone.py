"""One command at a time on a run directory."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.config.files import private_directory
from deploy.native.layout import Layout


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Two at once would start two supervisords; the second waits."""
    private_directory(layout.run)
    with layout.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another command on {layout.run}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
