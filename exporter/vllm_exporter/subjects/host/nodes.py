"""Reads NUMA nodes and memory controllers: each is a directory in /sys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vllm_exporter.errors import NoData
from vllm_exporter.linux.files import list_names, read_bytes
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.subjects.host import families as names

KIB = 1024
NODES = 32  # at most; the largest hosts have 16
CONTROLLERS = 64

MEMORY: dict[str, Family] = {
    "MemTotal:": names.HOST_NUMA_MEMORY_TOTAL_BYTES,
    "MemFree:": names.HOST_NUMA_MEMORY_FREE_BYTES,
}
COUNTS: dict[str, Family] = {
    "numa_miss": names.HOST_NUMA_MISSES_TOTAL,
    "other_node": names.HOST_NUMA_REMOTE_PAGES_TOTAL,
}
ERRORS = {"corrected": "ce_count", "uncorrected": "ue_count"}


def node_rows(sys: Path) -> Iterator[Row]:
    """Yields the memory of each NUMA node, from lines `Node 0 MemTotal: 16384 kB` and `numa_miss 12`."""
    for node, folder in numbered(sys / "devices/system/node", "node", NODES):
        memory, counts = read_words(f"{folder}/meminfo"), read_words(f"{folder}/numastat")
        if memory and counts:
            for word, family in MEMORY.items():
                yield (family, (node,)), int(memory[memory.index(word) + 1]) * KIB
            for word, family in COUNTS.items():
                yield (family, (node,)), int(counts[counts.index(word) + 1])


def memory_error_rows(sys: Path) -> Iterator[Row]:
    """Yields errors of ECC memory, from the EDAC drivers; none where no driver is loaded, as in virtual machines."""
    for controller, folder in numbered(sys / "devices/system/edac/mc", "mc", CONTROLLERS):
        for kind, file in ERRORS.items():
            for word in read_words(f"{folder}/{file}"):
                yield (names.HOST_MEMORY_ERRORS_TOTAL, (controller, kind)), int(word)


def numbered(root: Path, prefix: str, limit: int) -> list[tuple[str, str]]:
    """Returns number and path of the directories `<prefix><number>`, in order. Raises NoData when there is none."""
    numbers = [name.removeprefix(prefix) for name in list_names(root) if name.startswith(prefix)]
    found = sorted((one for one in numbers if one.isdecimal()), key=int)[:limit]
    if not found:
        raise NoData(f"{root} has no {prefix}<number>")
    return [(number, f"{root}/{prefix}{number}") for number in found]


def read_words(path: str) -> list[str]:
    return (read_bytes(path) or b"").decode("ascii").split()
