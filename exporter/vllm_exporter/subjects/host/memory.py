"""Parses memory, swap, huge pages and paging: /proc/meminfo and /proc/vmstat. No I/O."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.subjects.host import families as names

KIB = 1024
MOST = 1 << 52  # kB; 4 EiB are no memory, but a difference that wrapped, or no limit
PAGE = os.sysconf("SC_PAGE_SIZE")

FIELDS: dict[str, Family] = {
    "MemTotal": names.HOST_MEMORY_TOTAL_BYTES,
    "MemFree": names.HOST_MEMORY_FREE_BYTES,
    "MemAvailable": names.HOST_MEMORY_AVAILABLE_BYTES,  # since Linux 3.14
    "Buffers": names.HOST_MEMORY_BUFFERS_BYTES,
    "Cached": names.HOST_MEMORY_CACHED_BYTES,
    "Dirty": names.HOST_MEMORY_DIRTY_BYTES,
    "Writeback": names.HOST_MEMORY_WRITEBACK_BYTES,
    "AnonPages": names.HOST_MEMORY_ANONYMOUS_BYTES,
    "Shmem": names.HOST_MEMORY_SHARED_BYTES,
    "Mlocked": names.HOST_MEMORY_LOCKED_BYTES,
    "SUnreclaim": names.HOST_MEMORY_KERNEL_BYTES,
    "PageTables": names.HOST_MEMORY_PAGE_TABLES_BYTES,
    "Committed_AS": names.HOST_MEMORY_COMMITTED_BYTES,
    "CommitLimit": names.HOST_MEMORY_COMMIT_LIMIT_BYTES,
    "AnonHugePages": names.HOST_MEMORY_TRANSPARENT_HUGE_PAGES_BYTES,
    "SwapTotal": names.HOST_SWAP_TOTAL_BYTES,
}
VMSTAT: dict[str, tuple[Family, int]] = {  # the number is what one counts for
    "pgmajfault": (names.HOST_MAJOR_PAGE_FAULTS_TOTAL, 1),
    "pswpin": (names.HOST_SWAP_IN_BYTES_TOTAL, PAGE),
    "pswpout": (names.HOST_SWAP_OUT_BYTES_TOTAL, PAGE),
    "oom_kill": (names.HOST_OOM_KILLS_TOTAL, 1),  # since Linux 4.13
}


def meminfo_rows(data: bytes) -> Iterator[Row]:
    """Yields the samples; a number that cannot be costs its own only. Raises LookupError without MemTotal."""
    found = parse_meminfo(data)
    for name, family in FIELDS.items():
        if name in found or name == "MemTotal":
            yield (family, ()), found[name] * KIB
    if found.get("SwapFree", MOST) <= found.get("SwapTotal", 0):
        yield (names.HOST_SWAP_USED_BYTES, ()), (found["SwapTotal"] - found["SwapFree"]) * KIB
    if found.get("HugePages_Total") and "Hugepagesize" in found:
        size = found["Hugepagesize"] * KIB
        yield (names.HOST_HUGE_PAGES_TOTAL_BYTES, ()), found["HugePages_Total"] * size
        if "HugePages_Free" in found:
            yield (names.HOST_HUGE_PAGES_FREE_BYTES, ()), found["HugePages_Free"] * size


def parse_meminfo(data: bytes) -> dict[str, int]:
    """Parses lines `MemTotal: 131072000 kB`. Left out are numbers that cannot be: lxcfs lets differences wrap (SwapFree
    18446744073709346016 kB), has 2^53 kB for no limit, and at times a MemTotal of 0."""
    found: dict[str, int] = {}
    for line in _lines(data):
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdigit() and int(number[0]) < MOST and (name != "MemTotal" or int(number[0])):
            found[name] = int(number[0])
    return found


def vmstat_rows(data: bytes) -> Iterator[Row]:
    """Parses lines `name count`. Raises LookupError without page faults."""
    pairs = (line.split() for line in _lines(data) if line.startswith(tuple(VMSTAT)))
    found = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    for name, (family, unit) in VMSTAT.items():
        if name in found or name == "pgmajfault":
            yield (family, ()), int(found[name]) * unit


def _lines(data: bytes) -> list[str]:
    return data.decode("ascii").splitlines()
