"""Counts the open files of processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from vllm_exporter.linux.stat import is_own_namespace


class OpenFds:
    """Counts open files. Since Linux 6.2 the size of /proc/<pid>/fd is their number, which everybody may read in 2 µs;
    before, its entries are counted, which the kernel allows to the process's own user and to root."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._sized = is_own_namespace(proc) and os.stat(proc / "self/fd").st_size > 0

    def count(self, pids: Iterable[int]) -> dict[int, int]:
        """Returns the number by pid; processes that may not be read, or are gone, are left out."""
        found = ((pid, self._count(f"{self._proc}/{pid}/fd")) for pid in pids)
        return {pid: number for pid, number in found if number is not None}

    def _count(self, folder: str) -> int | None:
        try:
            return os.stat(folder).st_size if self._sized else len(os.listdir(folder))
        except OSError:
            return None
