"""The event file: one event per line, in JSON. A full file is renamed with a number, and the oldest is removed."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from vllm_exporter.facts.events import Event
from vllm_exporter.trust import open_to_append


class EventFile:
    """Writes to `path` and keeps `keep` (at least 1) older files, path.1 the newest. Each has `max_bytes` at most."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._fd: int | None = None
        self.size = 0  # bytes

    def write(self, lines: Iterable[bytes]) -> None:
        """Appends lines and ends each. Raises OSError; lines that were written before stay."""
        if self._fd is not None and os.fstat(self._fd).st_nlink == 0:
            self.close()  # somebody removed the file
        for line in lines:
            if self._fd is not None and self.size + len(line) >= self._max_bytes:
                self._rotate()
            if self._fd is None:
                self._open()
            assert self._fd is not None  # _open raises when it cannot
            data = line + b"\n"
            written = os.write(self._fd, data)
            self.size += written
            if written < len(data):
                raise OSError(errno.ENOSPC, "no space left on device")

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> None:
        self._fd = open_to_append(self._path)  # not /dev/stdout, which would be renamed when it is full
        self.size = os.fstat(self._fd).st_size
        if self.size and os.pread(self._fd, 1, self.size - 1) != b"\n":  # the disk was full, or the host went down
            self.size += os.write(self._fd, b"\n")
        if self.size >= self._max_bytes:
            self._rotate()
            self._open()

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1)
            if newer.exists():
                os.replace(newer, older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def format_event(event: Event) -> bytes:
    """Returns a line of JSON: time (UTC), kind, server, model_name, severity, summary, then the fields of its kind."""
    line = {
        "time": format_time(event.time),
        "kind": event.kind,
        "server": event.server,
        "model_name": event.model_name,
        "severity": event.severity,
        "summary": event.summary,
    }
    return json.dumps(line | event.own_fields(), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def format_time(at: float) -> str:
    """Returns '2026-11-21T15:04:05.123Z'; the epoch for an impossible time."""
    milliseconds = round(at * 1000) if 0 <= at < 1e11 else 0
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(milliseconds // 1000))}.{milliseconds % 1000:03d}Z"
