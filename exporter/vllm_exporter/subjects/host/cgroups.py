"""Reads the cgroup (v2) of a process: its limits, at whichever level above they are set, and its use of them.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from vllm_exporter.errors import NoData
from vllm_exporter.linux.files import read_bytes
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.cpu import parse_pressure

EVENTS = ("high", "max", "oom", "oom_kill")  # of memory.events; `low` is about protected memory, not about a limit
RESOURCES = ("cpu", "memory", "io")
OWN = 0  # the level of its own directory; the one above is level 1
DEEPEST = 16  # levels; a container in a pod of a node is 5 deep

FAMILIES: dict[str, Family] = {
    "limit": names.CGROUP_MEMORY_LIMIT_BYTES,
    "used": names.CGROUP_MEMORY_USED_BYTES,
    "working_set": names.CGROUP_MEMORY_WORKING_SET_BYTES,
    "event": names.CGROUP_MEMORY_EVENTS_TOTAL,
    "swap": names.CGROUP_SWAP_USED_BYTES,
    "quota": names.CGROUP_CPU_QUOTA_CPUS,
    "cpus": names.CGROUP_CPUS,
    "cpu": names.CGROUP_CPU_SECONDS_TOTAL,
    "periods": names.CGROUP_CPU_PERIODS_TOTAL,
    "throttled": names.CGROUP_CPU_THROTTLED_PERIODS_TOTAL,
    "throttled_seconds": names.CGROUP_CPU_THROTTLED_SECONDS_TOTAL,
    "pressure": names.CGROUP_PRESSURE_SECONDS_TOTAL,
    "processes": names.CGROUP_PROCESSES,
    "processes_limit": names.CGROUP_PROCESSES_LIMIT,
}
Parser = Callable[[bytes], float | None]
Numbers = dict[str, float]  # by the family's key above, with further labels after blanks: 'event oom_kill'


class Cgroup:
    """The cgroup of one server, or of the exporter ('')."""

    def __init__(self, server: str, root: Path, path: str) -> None:
        """`path` is that in /proc/<pid>/cgroup, below `root`, where cgroup2 is mounted."""
        self.server, self.path = server, path
        self._levels = find_levels(root, path)

    def rows(self) -> Iterator[Row]:
        """Yields the samples. Raises NoData when it is gone, SourceError, ValueError or LookupError for a bad file."""
        found = [row for _, read in self.parts() for row in read()]
        if not found:
            raise NoData(f"{self._levels[OWN]} does not exist")
        yield from found

    def parts(self) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
        """Yields name and function of each part, so that one whose file cannot be used costs the others nothing."""
        parts = {"memory": self._memory, "cpu": self._cpu, "pressure": self._pressure, "pids": self._processes}
        return ((name, partial(make_rows, self.server, read)) for name, read in parts.items())

    def _memory(self) -> Numbers:
        level, limit = self._lowest("memory.max", parse_limit)
        found: Numbers = {} if limit is None else {"limit": limit}
        used = self._text(level, "memory.current")
        if used:
            found["used"] = int(used)
            cache = parse_flat(self._text(level, "memory.stat")).get("inactive_file")
            found |= {} if cache is None else {"working_set": max(0, int(used) - cache)}
        events = parse_flat(self._text(OWN, "memory.events"))
        found |= {f"event {event}": events[event] for event in EVENTS if event in events}
        swap = self._text(OWN, "memory.swap.current")
        return found | ({"swap": int(swap)} if swap else {})

    def _cpu(self) -> Numbers:
        level, quota = self._lowest("cpu.max", parse_quota)
        found: Numbers = {} if quota is None else {"quota": quota}
        own = parse_flat(self._text(OWN, "cpu.stat"))
        found |= {"cpu": own["usage_usec"] / 1e6} if "usage_usec" in own else {}
        limited = parse_flat(self._text(level, "cpu.stat")) if quota is not None else {}
        if "nr_throttled" in limited:
            found |= {"periods": limited["nr_periods"], "throttled": limited["nr_throttled"]}
            found["throttled_seconds"] = limited["throttled_usec"] / 1e6
        levels = range(len(self._levels))
        cpus = next(filter(None, (self._text(at, "cpuset.cpus.effective").strip() for at in levels)), b"")
        return found | ({"cpus": count_cpus(cpus)} if cpus else {})

    def _pressure(self) -> Numbers:
        found: Numbers = {}
        for resource in RESOURCES:
            text = self._text(OWN, f"{resource}.pressure")
            if text:
                found |= {f"pressure {resource} {kind}": value for kind, value in parse_pressure(text).items()}
        return found

    def _processes(self) -> Numbers:
        level, limit = self._lowest("pids.max", parse_limit)
        found: Numbers = {} if limit is None else {"processes_limit": limit}
        count = self._text(level, "pids.current")
        return found | ({"processes": int(count)} if count else {})

    def _lowest(self, file: str, parse: Parser) -> tuple[int, float | None]:
        """Returns the level with the lowest limit and that limit; OWN and None when there is no limit."""
        return lowest(parse(self._text(level, file)) for level in range(len(self._levels)))

    def _text(self, level: int, file: str) -> bytes:
        """Returns b'' when the file is not there: the controller is off, or it is the root."""
        return read_bytes(self._levels[level] / file) or b""


def make_rows(server: str, read: Callable[[], Numbers]) -> list[Row]:
    """Returns the samples of a part. Raises SourceError, ValueError or LookupError for a bad file."""
    keys = ((key.split(), value) for key, value in read().items())
    return [((FAMILIES[name], (server, *labels)), value) for (name, *labels), value in keys]


def find_levels(root: Path, path: str) -> list[Path]:
    """Returns the directories from a cgroup's own up to the root."""
    folder = root / path.lstrip("/")
    return [folder, *folder.parents][: min(DEEPEST, len(Path(path).parts))]


def lowest(limits: Iterable[float | None]) -> tuple[int, float | None]:
    """Returns the level of the lowest limit and that limit; OWN and None when there is no limit."""
    found = [(limit, level) for level, limit in enumerate(limits) if limit is not None]
    if not found:
        return OWN, None
    limit, level = min(found)
    return level, limit


def parse_path(data: bytes) -> str | None:
    """Returns the path in cgroup v2 from /proc/<pid>/cgroup; None when the process is in none."""
    for line in data.splitlines():
        if line.startswith(b"0::"):
            return line[3:].removesuffix(b" (deleted)").decode(errors="surrogateescape")
    return None


def parse_limit(data: bytes) -> float | None:
    """Parses a number; None for `max`, which is no limit."""
    return None if data.strip() in (b"", b"max") else int(data)


def parse_quota(data: bytes) -> float | None:
    """Returns CPUs from `<microseconds or max> <period in microseconds>`; None for no limit."""
    words = data.split()
    if not words or words[0] == b"max" or int(words[1]) <= 0:
        return None
    return int(words[0]) / int(words[1])


def parse_flat(data: bytes) -> dict[str, int]:
    """Parses lines `key number`."""
    words = data.split()
    return {key.decode(): int(number) for key, number in zip(words[::2], words[1::2], strict=True)}


def count_cpus(ranges: bytes) -> int:
    """Returns how many CPUs `0-3,8` names."""
    ends = [part.partition(b"-") for part in ranges.split(b",")]
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
