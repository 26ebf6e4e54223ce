"""Keeps what collectors remember over a restart of the exporter: JSON files in the state directory.

A file is replaced as a whole, so nobody ever reads half of it. If one cannot be read or written, only what it holds is
lost, and the log says so once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vllm_exporter.log import Log, log
from vllm_exporter.trust import read_trusted, remove_unfinished, replace_trusted

T = TypeVar("T")
Content = Mapping[str, Any]  # what json reads and writes

VERSION = 1  # of every file
MAX_COUNT = (1 << 63) - 1
MAX_SIZE = 16 * 1024 * 1024  # bytes; the largest has 2 KiB a series
QUOTED = 100  # characters of a value in a message
WRITE_SECONDS = 10.0  # between two writes of a file whose content changes all the time


class StateFile:
    """One file by its name; without a state directory nothing is kept. Used by one thread."""

    def __init__(self, state_dir: str, name: str, what: str, log: Log = log) -> None:
        """`what` names the content in log lines: 'the parentage of processes'."""
        self.path = Path(state_dir) / f"{name}.json" if state_dir else None
        self._what = what
        self._log = log
        self._written: Content | None = None
        self._looked_at = float("-inf")
        self._failed = False

    def load(self, parse: Callable[[Content], T]) -> T | None:
        """Returns what `parse` makes of the content; None when there is no file, or its content cannot be used.

        `parse` may raise ValueError, LookupError, TypeError or AttributeError for content that it does not expect.
        """
        if self.path is None:
            return None
        try:
            remove_unfinished(self.path)
            content = read_content(self.path)
            return None if content is None else parse(content)
        except (OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RecursionError) as error:
            reason = str(error) if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {error}"
            self._log("warning", f"{self._what} is lost: the file cannot be used", file=self.path, reason=reason)
            return None

    def due(self, now: float) -> bool:
        """True once every WRITE_SECONDS: for content that is costly to assemble. `now` is in monotonic seconds."""
        if self.path is None or now - self._looked_at < WRITE_SECONDS:
            return False
        self._looked_at = now
        return True

    def save(self, content: Content) -> None:
        """Writes the content if it differs from the last one."""
        if self.path is None or content == self._written:
            return
        try:
            replace_trusted(self.path, json.dumps({"version": VERSION, **content}).encode() + b"\n")
            self._written, self._failed = content, False
        except OSError as error:
            if not self._failed:
                self._log("warning", f"{self._what} cannot be saved", file=self.path, reason=error)
            self._failed = True


def read_content(path: Path) -> Content | None:
    """Reads a state file; returns None when there is none. Raises OSError, and ValueError for any other content."""
    text = read_trusted(path, MAX_SIZE)
    if text is None:
        return None
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    if content.get("version") != VERSION:
        raise ValueError(f"version {content.get('version')!r}, expected {VERSION}")
    return content


def read_scope(proc: Path) -> str:
    """Returns boot id and PID namespace: process ids and times since the boot are valid in them. Raises OSError."""
    boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    try:
        return f"{boot} {os.readlink(proc / 'self/ns/pid')}"
    except OSError:
        return boot


def count(value: object) -> int:
    """Returns `value` if it is a whole number, 0 or more. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"{shown(value)} is no count")
    return value


def seconds(value: object) -> float:
    """Returns `value` if it is a finite number of seconds, 0 or more. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{shown(value)} is no time")
    return float(value)


def shown(value: object) -> str:
    """Returns the value for a message, cut."""
    return f"{value!r}"[:QUOTED]
