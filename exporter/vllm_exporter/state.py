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


def read_scope(proc: Path) -> str:
    """The boot and the PID namespace."""
    boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    try:
        return f"{boot} {os.readlink(proc / 'self/ns/pid')}"
    except OSError:
        return boot
