"""The interface of a source of log lines: each reading gives the lines since the last one, and a position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Position = Mapping[str, str | int]  # of a source's own; kept in a file over a restart of the exporter

MAX_LINE = 64 * 1024  # bytes; a longer line is cut, and counted
MAX_READ = 64 * 1024  # bytes per reading: about 500 lines; more at once would take memory, and no less time
BUSY = 16 * 1024  # bytes; a program that had this much ready in a pipe or socket has more in a moment


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line as it was written, without its end."""

    text: bytes
    time: float | None = None  # Unix time, where the source knows it


@dataclass(frozen=True, slots=True)
class Batch:
    """The lines since the last reading, MAX_READ bytes of them at most."""

    lines: tuple[RawLine, ...] = ()
    live: bool = True  # the newest lines are among them; False: there is more
    cut: int = 0  # lines that were longer than MAX_LINE
    skipped: int = 0  # bytes that were given up, because more was written than can be read in time
    unread: int = 0  # bytes


class LogSource(Protocol):
    """One log, read from one thread."""

    def read(self) -> Batch:
        """Returns at once. Raises NoData when there is no log yet, SourceError when it cannot be read."""
        ...

    def position(self) -> Position:
        """Returns where the next reading begins; {} when that is not known."""
        ...

    def close(self) -> None: ...


class LineCutter:
    """Cuts chunks of bytes into lines. A line without an end waits, at most MAX_LINE bytes of it."""

    def __init__(self) -> None:
        self._rest = b""
        self._dropping = False  # the rest of a line that was cut
        self.cut = 0

    @property
    def waiting(self) -> int:
        """Returns the number of bytes of the line that has no end yet."""
        return len(self._rest)

    def skip(self) -> None:
        """Prepares for a gap before the next bytes: the waiting line, and the rest of the line in which they begin, are
        no lines that anybody wrote."""
        self._rest, self._dropping = b"", True

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the lines that ended. Progress bars end theirs with a carriage return."""
        *lines, rest = (self._rest + data).split(b"\n")
        if self._dropping and lines:
            lines, self._dropping = lines[1:], False
        if self._dropping:
            rest = b""
        elif len(rest) > MAX_LINE:
            lines.append(rest)
            rest, self._dropping = b"", True
        self._rest = rest
        return [self._bounded(line) for line in lines]

    def flush(self) -> list[bytes]:
        """Returns the line without an end, when none will come."""
        rest, self._rest = self._rest, b""
        return [self._bounded(rest)] if rest else []

    def _bounded(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r")
        line = line[line.rfind(b"\r") + 1 :]
        if len(line) > MAX_LINE:
            self.cut += 1
        return line[:MAX_LINE]

    def take_cut(self) -> int:
        """Returns how many lines were cut since the last call."""
        cut, self.cut = self.cut, 0
        return cut
