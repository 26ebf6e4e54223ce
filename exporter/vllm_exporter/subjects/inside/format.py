"""Decodes the file in which a vLLM process passes its counters to the exporter. Pure; see docs/snapshot-format.md."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from struct import Struct, unpack_from
from typing import Literal, get_args

from vllm_exporter.errors import SourceError

MAGIC = b"VLLMSNAP"
VERSION = 1
HEADER = Struct("<8sIIQIIIIIIIIQQ16sd32x")  # little-endian; 128 bytes
CHECKED_FROM = 28  # the checksum covers the header from here, and the values
MAX_FILE = 1 << 20  # bytes
MAX_VALUES = 16_384
MAX_TEXT = 128  # characters of a name or of a label value
API_SERVER, OTHER = "api_server", "other"
ROLES = (API_SERVER, "engine_core", "worker", OTHER)

DamageReason = Literal[
    "torn", "truncated", "magic", "version", "size", "directory", "value", "line", "untrusted", "unreadable"
]
# sum, max and last are gauges, named by the way in which those of several processes are joined. The value of a last is
# the time of CLOCK_MONOTONIC at which something happened; its gauge says how many seconds ago that was.
EntryKind = Literal["counter", "sum", "max", "last", "histogram"]
Labels = tuple[tuple[str, str], ...]


class BadSnapshot(SourceError):
    """A file that cannot be used. `reason` is one of a few words, for a label."""

    def __init__(self, reason: DamageReason, message: str) -> None:
        super().__init__(message)
        self.reason: DamageReason = reason


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be confused with another one, of any boot."""

    boot: str  # boot id, 32 hexadecimal digits
    namespace: int  # inode of the PID namespace in which the pid counts; 0: not known
    pid: int
    start: int  # clock ticks since boot


@dataclass(frozen=True)
class Header:
    """The first 128 bytes, without magic, version and size."""

    sequence: int  # odd while the process writes
    checksum: int
    count: int  # of values
    directory_at: int
    directory_size: int
    directory_checksum: int
    generation: int  # of the directory
    port: int  # on which the process serves; 0: none
    identity: ProcessIdentity
    written: float  # CLOCK_MONOTONIC of the last write, in seconds

    @property
    def end(self) -> int:
        """Returns where the values end, in bytes."""
        return HEADER.size + 8 * self.count


@dataclass(frozen=True)
class Entry:
    """One series of the directory. Its values are at `at`: one, or for a histogram the counts of each bucket, not
    cumulative and with +Inf last, and then the sum of the observations."""

    kind: EntryKind
    name: str
    labels: Labels  # sorted by name
    at: int
    bounds: tuple[float, ...] = ()  # of a histogram, ascending, without +Inf

    @property
    def width(self) -> int:
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


@dataclass(frozen=True)
class Directory:
    """The meaning of the values. It changes with its generation only."""

    entries: tuple[Entry, ...]
    server: str = ""  # as the process was configured; '' when it was not
    rank: str = ""  # as in the process title: 'DP0_TP1'
    role: str = API_SERVER  # of those in ROLES


@dataclass(frozen=True)
class ProcessSnapshot:
    """One reading of a file."""

    identity: ProcessIdentity
    port: int
    written: float
    directory: Directory
    values: tuple[float, ...]


def parse_header(data: bytes) -> Header:
    """Parses the header, with numbers within limits; only the checksum proves that they match. Raises BadSnapshot."""
    if len(data) < HEADER.size:
        raise BadSnapshot("truncated", f"{len(data)} bytes, a header has {HEADER.size}")
    fields = HEADER.unpack_from(data)
    magic, version, size, sequence, checksum, count, at, length, crc, generation, pid, port = fields[:12]
    start, namespace, boot, written = fields[12:]
    if magic != MAGIC:
        raise BadSnapshot("magic", f"begins with {magic!r}, not {MAGIC!r}")
    if version != VERSION or size != HEADER.size:
        raise BadSnapshot("version", f"version {version}, header of {size} bytes; known: {VERSION}, {HEADER.size}")
    identity = ProcessIdentity(boot.hex(), namespace, pid, start)
    header = Header(sequence, checksum, count, at, length, crc, generation, port, identity, written)
    if count > MAX_VALUES or at < header.end or at + length > MAX_FILE:
        raise BadSnapshot("size", f"{count} values and a directory of {length} bytes at {at}: too many, or overlapping")
    return header


def is_whole(data: bytes, header: Header) -> bool:
    """True if nothing was written meanwhile. The checksum proves it whatever the order in which memory is read."""
    if header.sequence & 1 or len(data) < header.end:
        return False
    return zlib.crc32(memoryview(data)[CHECKED_FROM : header.end]) == header.checksum


def parse_values(data: bytes, header: Header) -> tuple[float, ...]:
    """Returns the values. Raises BadSnapshot when one of them, or their sum, is not finite."""
    values = unpack_from(f"<{header.count}d", data, HEADER.size)
    if not isfinite(sum(values)):
        raise BadSnapshot("value", "a value is not finite")
    return values


def parse_directory(data: bytes, header: Header) -> Directory:
    """Parses the directory's bytes, whose checksum is right. Raises BadSnapshot, naming the line."""
    try:
        text = data.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise BadSnapshot("directory", "the directory is not UTF-8") from None
    about: dict[str, str] = {}
    entries: list[Entry] = []
    at = 0
    for number, line in enumerate(text.split("\n") if text else (), 1):
        words = line.split("\t")
        if line.startswith("@"):
            about[words[0]] = _text(words[1] if len(words) == 2 else "", number)
            continue
        entries.append(_parse_entry(words, at, number))
        at += entries[-1].width
    if at != header.count:
        raise BadSnapshot("directory", f"the directory describes {at} values, the header has {header.count}")
    if len({(one.name, one.labels) for one in entries}) != len(entries):
        raise BadSnapshot("directory", "a series is there twice")
    role = about.get("@role", API_SERVER)
    return Directory(tuple(entries), about.get("@server", ""), about.get("@rank", ""), role if role in ROLES else OTHER)


def _parse_entry(words: list[str], at: int, number: int) -> Entry:
    """Parses `kind TAB name TAB bounds, separated by commas {TAB label=value}`."""
    if len(words) < 3 or words[0] not in get_args(EntryKind):
        raise BadSnapshot("directory", f"line {number} of the directory is no series: {words[0][:40]!r}")
    kind: EntryKind = next(one for one in get_args(EntryKind) if one == words[0])
    labels = [word.partition("=") for word in words[3:]]
    pairs = tuple(sorted((_text(name, number), _text(value, number)) for name, _, value in labels))
    bounds = _parse_bounds(words[2], number) if kind == "histogram" else ()
    return Entry(kind, _text(words[1], number), pairs, at, bounds)


def _parse_bounds(text: str, number: int) -> tuple[float, ...]:
    try:
        bounds = tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError:
        raise BadSnapshot("directory", f"line {number} of the directory: a bound is no number: {text[:40]!r}") from None
    if not all(isfinite(bound) for bound in bounds) or any(a >= b for a, b in pairwise(bounds)):
        raise BadSnapshot("directory", f"line {number} of the directory: bounds do not ascend: {text[:40]!r}")
    return bounds


def _text(text: str, number: int) -> str:
    if len(text) > MAX_TEXT or not text.isprintable():
        raise BadSnapshot("directory", f"line {number} of the directory: too long, or not printable: {text[:40]!r}")
    return text
