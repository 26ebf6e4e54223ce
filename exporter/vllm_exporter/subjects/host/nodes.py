"""NUMA nodes and memory controllers: a directory each in /sys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vllm_exporter.linux.kept_file import KeptFile
from vllm_exporter.metrics.family import Series
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.part import Names, Part, Reading

KIB = 1024
NODES = 32  # at most; the largest hosts have 16
CONTROLLERS = 64


class Folders(Part):
    """Directories of one kind, `<prefix><number>`, each with the same small files."""

    def __init__(self, root: Path, folder: str, prefix: str, files: tuple[str, ...], limit: int) -> None:
        super().__init__(folder)
        self._root = root / folder
        self._prefix, self._files, self._limit = prefix, files, limit
        self._kept: dict[str, tuple[KeptFile, ...]] = {}

    def read(self) -> Reading | None:
        numbers: list[float] = []
        found: list[str] = []
        for number in self._list():
            texts = [text for text in (kept.read() for kept in self._kept[number]) if text is not None]
            if len(texts) == len(self._files):
                found.append(number)
                numbers += self.parse(texts)
        return (tuple(found), numbers) if found else None

    def parse(self, texts: Sequence[bytes]) -> Sequence[float]:
        """The numbers of one directory, from its files' contents."""
        raise NotImplementedError

    def close(self) -> None:
        for files in self._kept.values():
            for kept in files:
                kept.close()
        self._kept = {}

    def _list(self) -> list[str]:
        """The numbers of the directories that are there, in order; opens and closes files as they come and go."""
        try:
            entries = os.listdir(self._root)
        except OSError:
            entries = []
        there = [entry.removeprefix(self._prefix) for entry in entries if entry.startswith(self._prefix)]
        numbers = sorted((one for one in there if one.isdecimal()), key=int)[: self._limit]
        if numbers != list(self._kept):
            self.close()
            folders = {number: self._root / f"{self._prefix}{number}" for number in numbers}
            self._kept = {
                number: tuple(KeptFile(folder / file) for file in self._files) for number, folder in folders.items()
            }
        return numbers


class NumaNodes(Folders):
    """Memory of each NUMA node, from its meminfo and numastat."""

    FAMILIES = (
        names.HOST_NUMA_MEMORY_TOTAL_BYTES,
        names.HOST_NUMA_MEMORY_FREE_BYTES,
        names.HOST_NUMA_MISSES_TOTAL,
        names.HOST_NUMA_REMOTE_PAGES_TOTAL,
    )

    def __init__(self, sys: Path) -> None:
        super().__init__(sys, "devices/system/node", "node", ("meminfo", "numastat"), NODES)

    def parse(self, texts: Sequence[bytes]) -> Sequence[float]:
        """`Node 0 MemTotal: 16384 kB` and `numa_miss 12`."""
        words, counts = texts[0].split(), texts[1].split()
        memory = [int(words[words.index(name) + 1]) * KIB for name in (b"MemTotal:", b"MemFree:")]
        return memory + [int(counts[counts.index(name) + 1]) for name in (b"numa_miss", b"other_node")]

    def name_series(self, names: Names) -> Sequence[Series]:
        return [(family, (node,)) for node in names for family in self.FAMILIES]


class MemoryControllers(Folders):
    """Errors of memory with ECC, from the EDAC drivers; absent where none is loaded, as in virtual machines."""

    def __init__(self, sys: Path) -> None:
        super().__init__(sys, "devices/system/edac/mc", "mc", ("ce_count", "ue_count"), CONTROLLERS)

    def parse(self, texts: Sequence[bytes]) -> Sequence[float]:
        return [int(text) for text in texts]

    def name_series(self, found: Names) -> Sequence[Series]:
        kinds = ("corrected", "uncorrected")
        return [(names.HOST_MEMORY_ERRORS_TOTAL, (controller, kind)) for controller in found for kind in kinds]
