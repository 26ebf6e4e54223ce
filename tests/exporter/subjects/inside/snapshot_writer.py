"""The reference writer of docs/snapshot-format.md: what an instrumented process does, in plain Python."""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = struct.Struct("<8sIIQIIIIIIIIQQ16sd32x")
SIZE = 1 << 16


@dataclass(frozen=True)
class Line:
    """A series: `counter`, `sum`, `max`, or `histogram` with its bounds."""

    kind: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    bounds: tuple[float, ...] = ()

    def text(self) -> str:
        bounds = ",".join(map(repr, self.bounds))
        return "\t".join([self.kind, self.name, bounds, *(f"{name}={value}" for name, value in self.labels)])


class SnapshotWriter:
    """Writes one file. The identity is this process's own, unless a test says otherwise."""

    def __init__(
        self,
        folder: Path,
        *,
        pid: int | None = None,
        start: int | None = None,
        boot: str | None = None,
        namespace: int | None = None,
        port: int = 0,
        server: str = "",
        rank: str = "",
        size: int = SIZE,
    ) -> None:
        self.pid = os.getpid() if pid is None else pid
        self.start = own_start() if start is None else start
        self.boot = read_boot() if boot is None else boot
        self.namespace = os.stat("/proc/self/ns/pid").st_ino if namespace is None else namespace
        self.path = folder / f"{self.pid}-{self.start}.snap"
        self._port = port
        self._about = f"@server\t{server}\n@rank\t{rank}\n"
        self._sequence = 0
        self._generation = 0
        new = self.path.with_suffix(".new")
        with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644), "r+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._directory = b""
        self.describe([])
        self.write([])
        os.replace(new, self.path)

    def describe(self, lines: Iterable[Line]) -> None:
        """Sets the series. The next `write` takes as many values as they need."""
        text = self._about + "".join(f"{line.text()}\n" for line in lines)
        self._directory = text.encode()
        self._generation += 1

    def write(self, values: Sequence[float], written: float | None = None, directory_at: int = 32_768) -> None:
        """One update: an odd sequence, the content, and the next even sequence."""
        self._mark()
        self._map[directory_at : directory_at + len(self._directory)] = self._directory
        packed = struct.pack(f"<{len(values)}d", *values)
        self._map[HEADER.size : HEADER.size + len(packed)] = packed
        at = time.monotonic() if written is None else written
        self._map[: HEADER.size] = self._header(len(values), directory_at, at, packed)
        self._mark()

    def begin(self) -> None:
        """Leaves the file as a writer that was killed half-way does."""
        self._mark()

    def close(self) -> None:
        self._map.close()

    def _mark(self) -> None:
        self._sequence += 1
        self._map[16:24] = struct.pack("<Q", self._sequence)

    def _header(self, count: int, directory_at: int, written: float, values: bytes) -> bytes:
        head = HEADER.pack(
            b"VLLMSNAP", 1, HEADER.size, self._sequence, 0,
            count, directory_at, len(self._directory), zlib.crc32(self._directory), self._generation,
            self.pid, self._port, self.start, self.namespace, bytes.fromhex(self.boot), written,
        )  # fmt: skip
        checksum = zlib.crc32(head[28:] + values)
        return head[:24] + struct.pack("<I", checksum) + head[28:]


def read_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


def own_start() -> int:
    """Field 22 of /proc/self/stat."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
