"""Reads how much memory the host has, and how much of it is in use, from /proc/meminfo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.linux.files import read_file

KIB = 1024
MOST = 1 << 62  # bytes; no host has as many
MAX_SIZE = 65536  # bytes; the file has 1.5 kB


@dataclass(frozen=True)
class HostMemory:
    """The memory of the host in bytes."""

    total: int
    used: int  # without what the kernel would give away at once, such as the cache of files


def read_host_memory(proc: Path) -> HostMemory | None:
    """Returns None when the file is not there or says neither."""
    return parse_host_memory(read_file(proc / "meminfo", MAX_SIZE) or b"")


def parse_host_memory(text: bytes) -> HostMemory | None:
    """Parses lines `MemTotal: 131072000 kB`. Kernels before 3.14 have no MemAvailable: what is free has to do."""
    found: dict[bytes, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(b":")
        number = rest.split()[:1]
        if name in (b"MemTotal", b"MemAvailable", b"MemFree") and number and number[0].isdigit():
            found[name] = int(number[0]) * KIB
    total, left = found.get(b"MemTotal"), found.get(b"MemAvailable", found.get(b"MemFree"))
    if not total or left is None or left >= MOST:  # lxcfs may say 0, or a difference that wrapped
        return None
    return HostMemory(total, max(0, total - left))
