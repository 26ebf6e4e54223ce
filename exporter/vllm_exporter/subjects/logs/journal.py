"""Follows the log of a unit in systemd's journal, through a `journalctl --follow` of its own."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from contextlib import suppress
from typing import IO, Protocol

from vllm_exporter.clock import Clock
from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.logs.source import BUSY, MAX_READ, Batch, LineCutter, Position, RawLine

KERNEL = "kernel"  # stands for the kernel's own log
PIPE = 1024 * 1024  # bytes
BACKOFF = (1.0, 5.0, 30.0, 60.0)  # seconds before journalctl is started again; the last one from then on


class Follow(Protocol):
    """A running program, with the part of Popen that is needed here."""

    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Start(Protocol):
    """Starts a program. Raises OSError."""

    def __call__(self, command: list[str]) -> Follow: ...


class LogJournal:
    """One unit. The journal's cursor is the position; without one, only new entries are read."""

    def __init__(self, unit: str, position: Position, clock: Clock, start: Start | None = None) -> None:
        self._unit = unit
        self._cursor = str(position.get("cursor", ""))
        self._clock = clock
        self._start = start or start_program
        self._process: Follow | None = None
        self._cutter = LineCutter()
        self._failures = 0
        self._due = 0.0
        self._problem = "journalctl has not run yet"

    def read(self) -> Batch:
        """Returns new lines. Raises SourceError while there is no journalctl, or after it ended."""
        if self._process is None:
            self._run()
        data, ended = self._pull()
        lines = tuple(self._entry(text) for text in self._cutter.feed(data))
        if ended and not lines:
            self._stop()
            raise SourceError(self._problem)
        if lines:
            self._failures = 0
        known = tuple(line for line in lines if line is not None)
        return Batch(known, len(data) < BUSY, self._cutter.take_cut())

    def position(self) -> Position:
        return {"cursor": self._cursor} if self._cursor else {}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(1.0)
            self._process = None

    def command(self) -> list[str]:
        """Returns the command. It only reads, and gets everything as arguments."""
        which = ["--dmesg"] if self._unit == KERNEL else [f"--unit={self._unit}"]
        since = [f"--after-cursor={self._cursor}", "--lines=all"] if self._cursor else ["--lines=0"]
        fixed = ["journalctl", "--follow", "--no-pager", "--quiet", "--all", "--output=json", "--output-fields=MESSAGE"]
        return [*fixed, *which, *since]

    def _run(self) -> None:
        if self._clock.monotonic() < self._due:
            raise SourceError(self._problem)
        try:
            self._process = self._start(self.command())
        except OSError as error:
            self._problem = f"journalctl: {error.strerror}"
            self._later()
            raise SourceError(self._problem) from None
        self._cutter = LineCutter()

    def _pull(self) -> tuple[bytes, bool]:
        """Returns what the program wrote, and True if it ended."""
        assert self._process is not None  # _run made it
        assert self._process.stdout is not None
        parts: list[bytes] = []
        left = MAX_READ
        while left > 0:  # a pipe gives 64 KiB at once, however much is asked for
            try:
                part = os.read(self._process.stdout.fileno(), left)
            except BlockingIOError:
                return b"".join(parts), False
            if not part:
                return b"".join(parts), True
            parts.append(part)
            left -= len(part)
        return b"".join(parts), False

    def _stop(self) -> None:
        """Notes why the program ended, and when to try again."""
        assert self._process is not None  # it has just been read from
        words = self._process.stderr.read(300) if self._process.stderr is not None else b""
        reason = (words or b"").decode("utf-8", "replace").strip().partition("\n")[0]
        self._problem = f"journalctl ended: {reason or 'it did not say why'}"
        self.close()
        self._later()

    def _later(self) -> None:
        self._due = self._clock.monotonic() + BACKOFF[min(self._failures, len(BACKOFF) - 1)]
        self._failures += 1

    def _entry(self, text: bytes) -> RawLine | None:
        entry = parse_entry(text)
        if entry is None:
            return None
        cursor, line = entry
        self._cursor = cursor or self._cursor
        return line


def parse_entry(text: bytes) -> tuple[str, RawLine] | None:
    """Returns cursor and line of an entry that `journalctl --output=json` printed; None when it is none."""
    try:
        data = json.loads(text)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    message, at = data.get("MESSAGE"), str(data.get("__REALTIME_TIMESTAMP", ""))
    time = int(at) / 1e6 if at.isdigit() and len(at) < 20 else None
    return str(data.get("__CURSOR", "")), RawLine(message_bytes(message), time)


def message_bytes(message: object) -> bytes:
    """Converts a message: text, or a list of bytes when it is not valid UTF-8; b'' for none."""
    if isinstance(message, str):
        return message.encode("utf-8", "replace")
    if isinstance(message, list) and all(isinstance(one, int) and 0 <= one < 256 for one in message):
        return bytes(message)
    return b""


def start_program(command: list[str]) -> Follow:
    """Starts a program without a shell; its output is read without waiting. It ends when nobody reads it any more."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
    if process.stdout is not None:
        widen(process.stdout.fileno())
    return process


def widen(pipe: int) -> None:
    """Enlarges a pipe: 64 KiB, emptied once a second, hold 130 entries, fewer than a busy server writes."""
    with suppress(OSError):  # its user has too many large pipes already
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
