"""Reads the snapshot files of this library again, for those who ask without an exporter. docs/snapshot-format.md."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from

from vllm_monitor.place import start_of
from vllm_monitor.snapshot import CHECKED_FROM, HEADER, MAGIC, SIZE, VERSION

SILENT = 60.0  # seconds after which a process of another PID namespace counts as gone
TRIES = 3  # of a file that is being written, which takes 10 µs


@dataclass(frozen=True)
class Entry:
    """One series: its kind, name, bounds of a histogram, labels in their order, and numbers as they are in the file."""

    kind: str
    name: str
    bounds: tuple[float, ...]
    labels: tuple[tuple[str, str], ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Snapshot:
    """What one process handed over. `written`: CLOCK_MONOTONIC, in seconds."""

    pid: int
    start: int
    namespace: int
    port: int
    written: float
    role: str
    entries: tuple[Entry, ...]


def read_all(folder: Path) -> Iterator[Snapshot]:
    """Yields what each file holds. Files of strangers, and those that cannot be read, are left out. Raises OSError."""
    owners = {0, os.geteuid(), folder.stat().st_uid}
    for path in sorted(folder.glob("*.snap")):
        snapshot = next((found for _ in range(TRIES) if (found := parse(_bytes(path, owners)))), None)
        if snapshot is not None:
            yield snapshot


def lives(one: Snapshot, now: float) -> bool:
    """True for a process that is there, or that still writes where it cannot be seen. `now`: CLOCK_MONOTONIC."""
    if one.namespace == os.stat("/proc/self/ns/pid").st_ino:
        return start_of(str(one.pid)) == str(one.start)
    return now - one.written < SILENT


def parse(data: bytes) -> Snapshot | None:
    """Returns what a file holds, or None while it is written or when it is no such file."""
    if len(data) < HEADER.size:
        return None
    magic, version, _, sequence, checksum, count, at, length, crc, _, pid, port, start, namespace, _, written = (
        HEADER.unpack_from(data)
    )
    end, lines = HEADER.size + 8 * count, data[at : at + length]
    if magic != MAGIC or version != VERSION or sequence & 1 or end > len(data):
        return None
    if zlib.crc32(data[CHECKED_FROM:end]) != checksum or zlib.crc32(lines) != crc:
        return None
    values = unpack_from(f"<{count}d", data, HEADER.size)
    return Snapshot(pid, start, namespace, port, written, *_directory(lines.decode(), values))


def _directory(text: str, values: tuple[float, ...]) -> tuple[str, tuple[Entry, ...]]:
    """Returns the role of the process and its series."""
    role, entries, at = "", [], 0
    for line in text.splitlines():
        words = line.split("\t")
        if words[0] == "@role":
            role = words[1]
        elif not line.startswith("@"):
            bounds = tuple(map(float, words[2].split(","))) if words[2] else ()
            width = len(bounds) + 2 if words[0] == "histogram" else 1
            labels = tuple((name, value) for name, _, value in (word.partition("=") for word in words[3:]))
            entries.append(Entry(words[0], words[1], bounds, labels, values[at : at + width]))
            at += width
    return role, tuple(entries)


def _bytes(path: Path, owners: set[int]) -> bytes:
    """Returns the content of a file, or nothing where it cannot be trusted or read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            about = os.fstat(file.fileno())
            return file.read(SIZE) if stat.S_ISREG(about.st_mode) and about.st_uid in owners else b""
    except OSError:
        return b""
