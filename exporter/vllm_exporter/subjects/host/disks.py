"""Reads disks and file handles: /proc/diskstats by psutil with the names in /sys/block, /proc/sys/fs/file-nr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from vllm_exporter.errors import NoData
from vllm_exporter.linux.files import list_names
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.subjects.host import families as names

VIRTUAL = ("loop", "ram", "zram", "fd", "sr", "nbd")
DISKS = 64  # at most, the first ones in the kernel's order
MILLISECONDS = 1000  # in a second

COUNTERS: dict[str, tuple[Family, float]] = {  # by psutil's names; the number is how many make one unit
    "read_count": (names.HOST_DISK_READS_TOTAL, 1),
    "read_bytes": (names.HOST_DISK_READ_BYTES_TOTAL, 1),
    "read_time": (names.HOST_DISK_READ_SECONDS_TOTAL, MILLISECONDS),
    "write_count": (names.HOST_DISK_WRITES_TOTAL, 1),
    "write_bytes": (names.HOST_DISK_WRITTEN_BYTES_TOTAL, 1),
    "write_time": (names.HOST_DISK_WRITE_SECONDS_TOTAL, MILLISECONDS),
    "busy_time": (names.HOST_DISK_BUSY_SECONDS_TOTAL, MILLISECONDS),
}


def disk_rows(proc: Path, sys: Path) -> Iterator[Row]:
    """Yields whole disks; partitions would count twice. Raises NoData without a table, ValueError for a bad one."""
    if not (proc / "diskstats").exists():  # psutil would look into the real /sys
        raise NoData(f"{proc}/diskstats does not exist")
    psutil.PROCFS_PATH = str(proc)
    whole = {name.replace("!", "/") for name in list_names(sys / "block")}  # '!' stands for the '/' in a name
    found = psutil.disk_io_counters(perdisk=True, nowrap=False)
    disks = [name for name in found if name in whole and not name.startswith(VIRTUAL)]
    for name in disks[:DISKS]:
        for counter, (family, parts) in COUNTERS.items():
            yield (family, (name,)), getattr(found[name], counter) / parts


def file_rows(data: bytes) -> Iterator[Row]:
    """Parses file-nr: allocated, unused (0 since Linux 2.6), limit."""
    allocated, _, limit = map(int, data.split())
    yield (names.HOST_FILE_DESCRIPTORS_ALLOCATED, ()), allocated
    yield (names.HOST_FILE_DESCRIPTORS_LIMIT, ()), limit
