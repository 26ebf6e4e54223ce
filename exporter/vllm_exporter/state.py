"""What collectors remember over a restart of the exporter: a JSON file each in the state directory.

A file is replaced as a whole, so nobody ever reads half of it. One that cannot be read or written costs the memory and
nothing else: the log says so once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from vllm_exporter.log import Log, log

T = TypeVar("T")
Content = Mapping[str, Any]  # what json reads and writes

VERSION = 1  # of every file
MAX_SIZE = 16 * 1024 * 1024  # bytes; the largest has 2 KiB a series
WRITE_SECONDS = 10.0  # between two writes of what changes all the time


class StateFile:
    """One file by its name; without a state directory nothing is kept. Used by one thread."""

    def __init__(self, state_dir: str, name: str, what: str, log: Log = log) -> None:
        """`what` is what the file is about, for the log: 'the parentage of processes'."""
        self.path = Path(state_dir) / f"{name}.json" if state_dir else None
        self._what = what
        self._log = log
        self._written: Content | None = None
        self._looked_at = float("-inf")
        self._failed = False

    def load(self, parse: Callable[[Content], T]) -> T | None:
        """What `parse` makes of the content; None when there is no file, or one that makes no sense.

        `parse` may raise what reading the content raises when it is not as expected.
        """
        if self.path is None:
            return None
        try:
            content = read_content(self.path)
            return None if content is None else parse(content)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            reason = str(error) if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {error}"
            self._log("warning", f"{self._what} was forgotten", file=self.path, reason=reason)
            return None

    def due(self, now: float) -> bool:
        """True every WRITE_SECONDS: for content that costs something to put together. `now` in monotonic seconds."""
        if self.path is None or now - self._looked_at < WRITE_SECONDS:
            return False
        self._looked_at = now
        return True

    def save(self, content: Content) -> None:
        """Writes the content if it is another than the last."""
        if self.path is None or content == self._written:
            return
        try:
            replace_file(self.path, json.dumps({"version": VERSION, **content}).encode() + b"\n")
            self._written, self._failed = content, False
        except OSError as error:
            if not self._failed:
                self._log("warning", f"{self._what} cannot be kept", file=self.path, reason=error)
            self._failed = True


def read_content(path: Path) -> Content | None:
    """None when there is no file. Raises OSError, and ValueError when it is not one of these files."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SIZE)
    except FileNotFoundError:
        return None
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    if content.get("version") != VERSION:
        raise ValueError(f"version {content.get('version')!r}, expected {VERSION}")
    return content


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: whoever is interrupted leaves the old one. Makes its directory. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    os.replace(new, path)


def read_scope(proc: Path) -> str:
    """The boot and the PID namespace, in which process ids and times since the boot mean something. Raises OSError."""
    boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    try:
        return f"{boot} {os.readlink(proc / 'self/ns/pid')}"
    except OSError:
        return boot


def count(value: object) -> int:
    """A whole number of the content, 0 or more. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def seconds(value: object) -> float:
    """A time of the content, 0 or more. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no time")
    return float(value)
