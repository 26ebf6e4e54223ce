"""Reads the JSON lines that vLLM's processes write beside their snapshot files, each once.

Files are trusted as the snapshots are. See docs/snapshot-format.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vllm_exporter.clock import Clock
from vllm_exporter.state import Content, StateFile
from vllm_exporter.subjects.inside.directory import RESCAN, check_file, check_folder
from vllm_exporter.subjects.inside.format import BadSnapshot

NAME = re.compile(r"(\d{1,20})-(\d{1,20})-(\d{1,20})-(\d{1,9})\.lines")  # pid, start, PID namespace, number
MAX_FILES = 256
MAX_LINES = 200  # at once: more wait for the next reading, so that they push no other events out
MAX_READ = 1 << 18  # bytes of a file at once
LONGEST = 8192  # bytes of a line


@dataclass(frozen=True)
class Line:
    """A line and the process that wrote it, whose boot is not known."""

    pid: int
    start: int
    namespace: int
    data: bytes


@dataclass
class Positions:
    """The place up to which each file was read: offset and inode by name."""

    at: dict[str, tuple[int, int]] = field(default_factory=dict)


class LineFiles:
    """All `*.lines` of a directory. Files that were there before an exporter ever looked are not read: they are old."""

    def __init__(self, path: Path, clock: Clock, state_dir: str) -> None:
        self._path = path
        self._clock = clock
        self._state = StateFile(state_dir, "inside_lines", "how far failed requests were read")
        known = self._state.load(parse_positions)
        self._at = known.at if known is not None else {}
        self._new_are_old = known is None  # until the first look is over
        self._names: list[str] = []
        self._trusted: frozenset[int] = frozenset()
        self._scanned = float("-inf")
        self._changed = -1  # time of the directory, in ns
        self.problems: dict[str, BadSnapshot] = {}

    def read(self) -> list[Line]:
        """Returns new lines, and notes how far it came before anybody sees one: none is told twice.

        Raises OSError without the directory, SourceError when others may write into it.
        """
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._scan(folder)
            self.problems = {}
            found: list[Line] = []
            for name in self._names:
                if len(found) < MAX_LINES:
                    found += self._read(folder, name, MAX_LINES - len(found))
        finally:
            os.close(folder)
        self._new_are_old = False
        self._state.save(format_positions(self._at))
        return found

    def _scan(self, folder: int) -> None:
        about, now = os.fstat(folder), self._clock.monotonic()
        if about.st_mtime_ns == self._changed and now - self._scanned < RESCAN:
            return
        self._trusted = check_folder(self._path, about)
        names = [name for name in os.listdir(folder) if NAME.fullmatch(name)]
        self._names = sorted(names, key=_order)[:MAX_FILES]
        self._at = {name: at for name, at in self._at.items() if name in names}
        self._changed, self._scanned = about.st_mtime_ns, now

    def _read(self, folder: int, name: str, most: int) -> list[Line]:
        """Returns the next whole lines of a file. One that cannot be used is a problem; the others are read."""
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return []  # removed a moment ago
        except OSError as error:
            self.problems[name] = BadSnapshot("unreadable", f"cannot be opened: {error.strerror}")
            return []
        try:
            about = os.fstat(file)
            check_file(about, self._trusted)
            return self._pull(file, name, about, most)
        except BadSnapshot as problem:
            self.problems[name] = problem
        except OSError as error:
            self.problems[name] = BadSnapshot("unreadable", f"cannot be read: {error.strerror}")
        finally:
            os.close(file)
        return []

    def _pull(self, file: int, name: str, about: os.stat_result, most: int) -> list[Line]:
        start, inode = self._at.get(name, (about.st_size if self._new_are_old else 0, about.st_ino))
        if inode != about.st_ino or start > about.st_size:
            start = 0  # another file of that name
        lines, used = whole_lines(os.pread(file, MAX_READ, start) if about.st_size > start else b"", most)
        self._at[name] = (start + used, about.st_ino)
        pid, began, namespace, _ = _order(name)
        return [Line(pid, began, namespace, one) for one in lines]


def whole_lines(data: bytes, most: int) -> tuple[list[bytes], int]:
    """Returns at most `most` lines that have an end, and how many bytes they take."""
    lines: list[bytes] = []
    at = 0
    while len(lines) < most and (end := data.find(b"\n", at)) >= 0:
        lines.append(data[at:end])
        at = end + 1
    return lines, at


def parse_positions(content: Content) -> Positions:
    """Reads the form of `format_positions`. Raises ValueError or TypeError for anything else."""
    return Positions({str(name): (_place(offset), _place(inode)) for name, offset, inode in content["files"]})


def format_positions(at: Mapping[str, tuple[int, int]]) -> Content:
    return {"files": [[name, *place] for name, place in sorted(at.items())]}


def _place(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no position")
    return value


def _order(name: str) -> tuple[int, ...]:
    found = NAME.fullmatch(name)
    assert found is not None  # names are chosen by the same expression
    return tuple(map(int, found.groups()))
