"""Reads the cgroups (v1) of a process: one hierarchy for each controller, as on RHEL 8 and older nodes.

https://docs.kernel.org/admin-guide/cgroup-v1/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from vllm_exporter.errors import NoData
from vllm_exporter.linux.files import read_bytes
from vllm_exporter.metrics.family import Row
from vllm_exporter.subjects.host.cgroups import (
    OWN,
    Numbers,
    count_cpus,
    find_levels,
    lowest,
    make_rows,
    parse_flat,
    parse_limit,
)

CONTROLLERS = ("memory", "cpu", "cpuacct", "cpuset", "pids")
NO_LIMIT = 1 << 62  # bytes; without a limit the kernel says its largest number of pages: 9223372036854771712


class CgroupV1:
    """The cgroups of one server, or of the exporter ('')."""

    def __init__(self, server: str, root: Path, paths: Mapping[str, str]) -> None:
        """`paths` are those in /proc/<pid>/cgroup by controller, below `root`/<controller>."""
        self.server = server
        self._levels = {name: find_levels(root / name, path) for name, path in paths.items()}

    def rows(self) -> Iterator[Row]:
        """Yields the samples. Raises NoData when it is gone, SourceError, ValueError or LookupError for a bad file."""
        found = [row for _, read in self.parts() for row in read()]
        if not found:
            raise NoData("its cgroups do not exist")
        yield from found

    def parts(self) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
        """Yields name and function of each part, as of version 2."""
        parts = {"memory": self._memory, "cpu": self._cpu, "pids": self._processes}
        return ((name, partial(make_rows, self.server, read)) for name, read in parts.items())

    def _memory(self) -> Numbers:
        level, limit = self._lowest("memory", "memory.limit_in_bytes")
        statistics = parse_flat(self._text("memory", OWN, "memory.stat"))
        above = statistics.get("hierarchical_memory_limit", NO_LIMIT)  # also of levels that cannot be seen from here
        if above < (NO_LIMIT if limit is None else limit):
            level, limit = OWN, above
        found: Numbers = {} if limit is None else {"limit": limit}
        used = self._number("memory", level, "memory.usage_in_bytes")
        if used is not None:
            found["used"] = used
            cache = parse_flat(self._text("memory", level, "memory.stat")).get("total_inactive_file")
            found |= {} if cache is None else {"working_set": max(0, used - cache)}
        met = self._number("memory", OWN, "memory.failcnt")
        found |= {} if met is None else {"event max": met}
        kills = parse_flat(self._text("memory", OWN, "memory.oom_control")).get("oom_kill")  # since Linux 4.13
        found |= {} if kills is None else {"event oom_kill": kills}
        swap = statistics.get("total_swap")
        return found | ({} if swap is None else {"swap": swap})

    def _cpu(self) -> Numbers:
        level, quota = self._lowest_quota()
        found: Numbers = {} if quota is None else {"quota": quota}
        used = self._number("cpuacct", OWN, "cpuacct.usage")
        found |= {} if used is None else {"cpu": used / 1e9}
        limited = parse_flat(self._text("cpu", level, "cpu.stat")) if quota is not None else {}
        if "nr_throttled" in limited:
            found |= {"periods": limited["nr_periods"], "throttled": limited["nr_throttled"]}
            found["throttled_seconds"] = limited["throttled_time"] / 1e9
        cpus = (self._text("cpuset", OWN, file).strip() for file in ("cpuset.effective_cpus", "cpuset.cpus"))
        ranges = next(filter(None, cpus), b"")
        return found | ({"cpus": count_cpus(ranges)} if ranges else {})

    def _processes(self) -> Numbers:
        level, limit = self._lowest("pids", "pids.max")
        found: Numbers = {} if limit is None else {"processes_limit": limit}
        count = self._number("pids", level, "pids.current")
        return found | ({} if count is None else {"processes": count})

    def _lowest(self, controller: str, file: str) -> tuple[int, float | None]:
        limits = [parse_limit(self._text(controller, level, file)) for level in self._each(controller)]
        return lowest(None if limit is None or limit >= NO_LIMIT else limit for limit in limits)

    def _lowest_quota(self) -> tuple[int, float | None]:
        """Returns the level with the lowest quota, and that quota in CPUs; -1 in the file is none."""
        quotas = [
            (self._number("cpu", level, "cpu.cfs_quota_us"), self._number("cpu", level, "cpu.cfs_period_us"))
            for level in self._each("cpu")
        ]
        return lowest(quota / period if quota and period and quota > 0 else None for quota, period in quotas)

    def _each(self, controller: str) -> range:
        return range(len(self._levels.get(controller, ())))

    def _number(self, controller: str, level: int, file: str) -> int | None:
        text = self._text(controller, level, file).strip()
        return int(text) if text else None

    def _text(self, controller: str, level: int, file: str) -> bytes:
        levels = self._levels.get(controller)
        return (read_bytes(levels[level] / file) or b"") if levels else b""


def parse_paths(data: bytes) -> dict[str, str]:
    """Returns the path by controller from /proc/<pid>/cgroup (cgroups(7)), of those that are read."""
    found: dict[str, str] = {}
    for line in data.decode(errors="surrogateescape").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            if controller in CONTROLLERS and not path.startswith("/.."):  # outside the mount that is seen
                found[controller] = path.removesuffix(" (deleted)")
    return found
