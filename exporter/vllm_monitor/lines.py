"""Writes JSON lines for the exporter, each about one thing that happened; docs/snapshot-format.md is the contract.

Bounded: by the second, so that a server that fails every request does not write them all, and in size, also when nobody
reads. What is not written is counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

SUFFIX = ".lines"
SIZE = 1 << 18  # bytes of a file, about 900 failed requests; then the next one begins
KEPT = 2  # files of a process
ALL = 32  # files of all processes in the directory, those that ended included: 8 MiB
LONGEST = 8192  # bytes of a line
BURST = 500  # lines at once: a server that dies under load ends all of its requests
RATE = 20.0  # lines a second from then on
MODE = 0o644  # as the snapshot's: the exporter may run as another user, and no line holds a secret


class Lines:
    """The lines of one process. There is no file until there is a line. Used by one thread."""

    def __init__(self, folder: Path, stem: str, port: int = 0) -> None:
        """`stem` is the name of the process's files, without an ending; the port, 0 for none, names its server."""
        self._port = {"port": port} if port else {}
        self._folder = folder
        self._stem = stem
        self._number = 0  # of the file
        self._file: int | None = None
        self._size = 0
        self._allowed, self._at = float(BURST), 0.0
        self.lost = 0

    def write(self, line: Mapping[str, object], now: float) -> None:
        """Writes a line, or counts it as lost. `now` is in seconds of a clock that does not jump. Raises nothing."""
        self._allowed = min(float(BURST), self._allowed + (now - self._at) * RATE)
        self._at = now
        data = json.dumps({**line, **self._port}, separators=(",", ":")).encode() + b"\n"
        if self._allowed < 1 or len(data) > LONGEST:
            self.lost += 1
            return
        self._allowed -= 1
        try:
            self._append(data)
        except OSError:
            self.lost += 1
            self.close()  # what was written of it has no end, and is not read

    def close(self) -> None:
        """Leaves the files: the exporter may not have read them yet."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, data: bytes) -> None:
        if self._file is not None and (self._size + len(data) > SIZE or os.fstat(self._file).st_nlink == 0):
            self.close()
        file = self._file = self._open() if self._file is None else self._file
        written = os.write(file, data)
        self._size += written
        if written < len(data):
            raise OSError("no space left on device")

    def _open(self) -> int:
        """Begins a new file and removes old ones. Raises OSError."""
        self._number += 1
        path = self._folder / f"{self._stem}-{self._number}{SUFFIX}"
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        os.fchmod(file, MODE)  # whatever the umask
        self._size = 0
        self._remove_old()
        return file

    def _remove_old(self) -> None:
        (self._folder / f"{self._stem}-{self._number - KEPT}{SUFFIX}").unlink(missing_ok=True)
        mine = [
            (about.st_mtime, file)
            for file in self._folder.glob(f"*{SUFFIX}")
            if (about := file.lstat()).st_uid == os.geteuid()
        ]
        for _, file in sorted(mine)[:-ALL]:
            file.unlink(missing_ok=True)
