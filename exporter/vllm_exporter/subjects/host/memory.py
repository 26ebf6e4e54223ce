"""Memory, swap, huge pages, paging: /proc/meminfo and /proc/vmstat. No I/O."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from operator import itemgetter

from vllm_exporter.metrics.family import Family, Series
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.part import Names, Reading

KIB = 1024
PAGE = os.sysconf("SC_PAGE_SIZE")

# Those that a kernel may not have come last; MemAvailable is there since Linux 3.14.
FIELDS: dict[str, Family] = {
    "MemTotal": names.HOST_MEMORY_TOTAL_BYTES,
    "MemFree": names.HOST_MEMORY_FREE_BYTES,
    "MemAvailable": names.HOST_MEMORY_AVAILABLE_BYTES,
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
HUGE = "HugePages_Total", "HugePages_Free", "Hugepagesize"


class Meminfo:
    """/proc/meminfo. Which lines it has is learned once: a kernel does not change them."""

    def __init__(self) -> None:
        self._words = 0
        self._pick: Callable[[Sequence[bytes]], Sequence[bytes]] = tuple
        self._names: Names = ()
        self._swap_free = 0
        self._huge: tuple[int, int, int] | None = None

    def parse(self, data: bytes) -> Reading:
        """Raises LookupError without MemTotal, ValueError where a number should be and is not."""
        words = data.split()
        if len(words) != self._words:
            self._learn(words)
        kib: list[float] = [int(word) * KIB for word in self._pick(words)]
        found = self._names
        if self._swap_free:
            kib.append(kib[-1] - int(words[self._swap_free]) * KIB)
        if self._huge:
            total, free, size = [int(words[at]) for at in self._huge]
            if total:
                found = (*found, "huge")
                kib += [total * size * KIB, free * size * KIB]
        return found, kib

    def _learn(self, words: list[bytes]) -> None:
        places = {word[:-1].decode(): at + 1 for at, word in enumerate(words) if word.endswith(b":")}
        wanted = [name for name in FIELDS if name in places]
        if wanted[:1] != ["MemTotal"] or len(wanted) < 3:
            raise LookupError("MemTotal")
        self._pick = itemgetter(*[places[name] for name in wanted])
        self._swap_free = places["SwapFree"] if wanted[-1] == "SwapTotal" else 0
        self._names = (*wanted, *(["swap"] if self._swap_free else []))
        self._huge = (
            (places[HUGE[0]], places[HUGE[1]], places[HUGE[2]]) if all(name in places for name in HUGE) else None
        )
        self._words = len(words)


def meminfo_series(found: Names) -> Sequence[Series]:
    series: list[Series] = []
    for name in found:
        if name == "swap":
            series.append((names.HOST_SWAP_USED_BYTES, ()))
        elif name == "huge":
            series += [(names.HOST_HUGE_PAGES_TOTAL_BYTES, ()), (names.HOST_HUGE_PAGES_FREE_BYTES, ())]
        else:
            series.append((FIELDS[name], ()))
    return series


VMSTAT: dict[str, tuple[Family, int]] = {  # and what one counts
    "pgmajfault": (names.HOST_MAJOR_PAGE_FAULTS_TOTAL, 1),
    "pswpin": (names.HOST_SWAP_IN_BYTES_TOTAL, PAGE),
    "pswpout": (names.HOST_SWAP_OUT_BYTES_TOTAL, PAGE),
    "oom_kill": (names.HOST_OOM_KILLS_TOTAL, 1),  # since Linux 4.13
}


def parse_vmstat(data: bytes) -> Reading:
    """Lines `name count`. Raises LookupError when none of the wanted ones is there."""
    data = b"\n" + data
    places = {name: data.find(b"\n%s " % name.encode()) for name in VMSTAT}
    found = tuple(name for name, at in places.items() if at >= 0)
    if not found:
        raise LookupError("pgmajfault")
    return found, [int(data[places[name] :].split(None, 2)[1]) * VMSTAT[name][1] for name in found]


def vmstat_series(found: Names) -> Sequence[Series]:
    return [(VMSTAT[name][0], ()) for name in found]
