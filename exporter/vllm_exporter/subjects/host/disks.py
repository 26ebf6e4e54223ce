"""Disks and file handles: /proc/diskstats with the names in /sys/block, /proc/sys/fs/file-nr."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vllm_exporter.metrics.family import Series
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.part import Names, Reading
from vllm_exporter.subjects.host.table import Table

SECTOR = 512  # bytes; /proc/diskstats counts in these whatever the disk's own sector is
VIRTUAL = ("loop", "ram", "zram", "fd", "sr", "nbd")
DISKS = 64  # at most, the first ones in the kernel's order

FAMILIES = (
    names.HOST_DISK_READS_TOTAL,
    names.HOST_DISK_READ_BYTES_TOTAL,
    names.HOST_DISK_READ_SECONDS_TOTAL,
    names.HOST_DISK_WRITES_TOTAL,
    names.HOST_DISK_WRITTEN_BYTES_TOTAL,
    names.HOST_DISK_WRITE_SECONDS_TOTAL,
    names.HOST_DISK_BUSY_SECONDS_TOTAL,
    names.HOST_DISK_QUEUE_SECONDS_TOTAL,
)


class Disks:
    """Whole disks of /proc/diskstats; partitions would count the same again.

    A row has 11 numbers after the name, 15 since Linux 4.18 (discards), 17 since 5.5 (flushes): the first 11 are used.
    """

    def __init__(self, sys: Path) -> None:
        self._sys = sys
        self._whole: frozenset[str] = frozenset()
        self._table = Table(self._name_of, self._look)

    def parse(self, data: bytes) -> Reading:
        """Raises ValueError at a row that is not one of a table of disks."""
        if len(data.split(None, 3)) < 4:
            raise ValueError(data)
        numbers: list[float] = []
        for row in self._table.rows(data)[:DISKS]:
            reads, _, read, read_ms, writes, _, written, write_ms, _, busy_ms, queue_ms = map(int, row[:11])
            numbers += [reads, read * SECTOR, read_ms / 1e3, writes, written * SECTOR, write_ms / 1e3]
            numbers += [busy_ms / 1e3, queue_ms / 1e3]
        return self._table.names[:DISKS], numbers

    def _look(self) -> None:
        self._whole = read_whole_disks(self._sys)

    def _name_of(self, line: bytes) -> tuple[str, int] | None:
        """Rows are `major minor name …`; the name's end is the blank after it."""
        fields = line.split(None, 3)
        if not fields:
            return None
        int(fields[0])
        name = fields[2].decode(errors="replace")
        if name not in self._whole or name.startswith(VIRTUAL):
            return None
        return name, line.index(b" " + fields[2] + b" ") + len(fields[2]) + 2


def read_whole_disks(sys: Path) -> frozenset[str]:
    """The names in /sys/block, where '!' stands for the '/' in a name; none when there is no such directory."""
    try:
        return frozenset(name.replace("!", "/") for name in os.listdir(sys / "block"))
    except OSError:
        return frozenset()


def disk_series(disks: Names) -> Sequence[Series]:
    return [(family, (disk,)) for disk in disks for family in FAMILIES]


FILES: tuple[Series, ...] = ((names.HOST_FILE_DESCRIPTORS_ALLOCATED, ()), (names.HOST_FILE_DESCRIPTORS_LIMIT, ()))


def parse_file_nr(data: bytes) -> Reading:
    """Allocated, unused (0 since Linux 2.6), limit."""
    allocated, _, limit = map(int, data.split())
    return (), [allocated, limit]


def file_series(_: Names) -> Sequence[Series]:
    return FILES
