"""Writes a file of the state directory so that nobody ever reads half of it."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """As a whole: whoever is interrupted leaves the old one. Its directory is made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    os.replace(new, path)
