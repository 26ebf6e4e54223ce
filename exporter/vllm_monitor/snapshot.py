"""Writes the file in which a process hands its numbers to the exporter; docs/snapshot-format.md is its contract."""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = struct.Struct("<8sIIQIIIIIIIIQQ16sd32x")
MAGIC = b"VLLMSNAP"
VERSION = 1
CHECKED_FROM = 28  # the checksum covers the header from here, and the values
SIZE = 1 << 18  # bytes of a file: 16,384 values and a directory of 128 KiB; pages that are never written take no memory
DIRECTORY_AT = 1 << 17
MODE = 0o644  # the exporter may run as another user, and trusts no file that others may write


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be confused with another one, of any boot."""

    pid: int
    start: int  # clock ticks since boot
    boot: str  # boot id, 32 hexadecimal digits
    namespace: int  # inode of the PID namespace

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Returns that of this process. Raises OSError without /proc."""
        start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        return cls(os.getpid(), start, boot, os.stat("/proc/self/ns/pid").st_ino)


class SnapshotFile:
    """One process's file, written in place through a shared mapping: an update makes no system call."""

    def __init__(self, path: Path, identity: ProcessIdentity, port: int = 0, size: int = SIZE) -> None:
        """Makes the file, which appears when it is complete. Raises OSError."""
        self.identity = identity
        self.path = path
        self._port = port
        self._sequence = 0
        self._generation = 0
        self._directory = b""
        self._map = self._make(size)

    def describe(self, directory: str) -> None:
        """Sets the directory; the next `write` brings it. Raises ValueError when it is too large."""
        data = directory.encode()
        if len(data) > len(self._map) - self._directory_at:
            raise ValueError(f"a directory of {len(data)} bytes is too large for a snapshot file")
        self._directory = data
        self._generation += 1

    def write(self, values: Sequence[float], written: float | None = None) -> None:
        """Writes all values, which are as many as the directory describes. `written`: CLOCK_MONOTONIC, in seconds."""
        self.begin()
        at = self._directory_at
        self._map[at : at + len(self._directory)] = self._directory
        packed = array("d", values).tobytes()
        self._map[HEADER.size : HEADER.size + len(packed)] = packed
        self._map[: HEADER.size] = self._header(len(values), time.monotonic() if written is None else written, packed)
        self._mark()

    def begin(self) -> None:
        """Makes the sequence odd, as a reader sees it while values are written."""
        self._mark()

    def close(self) -> None:
        """Leaves the file: the exporter takes its last values from it."""
        self._map.close()

    @property
    def _directory_at(self) -> int:
        return min(DIRECTORY_AT, len(self._map) // 2)

    def _make(self, size: int) -> mmap.mmap:
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)  # of a process that was killed half-way
        with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE), "r+b") as file:
            os.fchmod(file.fileno(), MODE)  # whatever the umask
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self.write(())
        os.replace(new, self.path)
        return self._map

    def _mark(self) -> None:
        self._sequence += 1
        self._map[16:24] = struct.pack("<Q", self._sequence)

    def _header(self, count: int, written: float, values: bytes) -> bytes:
        one = self.identity
        head = HEADER.pack(
            MAGIC, VERSION, HEADER.size, self._sequence, 0,
            count, self._directory_at, len(self._directory), zlib.crc32(self._directory), self._generation,
            one.pid, self._port, one.start, one.namespace, bytes.fromhex(one.boot), written,
        )  # fmt: skip
        checksum = zlib.crc32(head[CHECKED_FROM:] + values)
        return head[:24] + struct.pack("<I", checksum) + head[CHECKED_FROM:]
