"""Reads the end of a log file once."""

from __future__ import annotations

import os
from pathlib import Path

from vllm_exporter.errors import SourceError

SIZE = 512 * 1024  # bytes: the tracebacks of some hundred requests that died with their engine


def read_tail(path: Path, size: int = SIZE) -> tuple[bytes, ...]:
    """Returns the last lines, without a first one that is cut. Raises SourceError."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - size)
            file.seek(start)
            lines = file.read(size).splitlines()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    return tuple(lines[1:] if start else lines)
