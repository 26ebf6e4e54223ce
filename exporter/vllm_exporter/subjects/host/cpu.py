"""Parses CPU time, tasks, load and pressure: /proc/stat, /proc/loadavg, /proc/pressure. No I/O."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import nan

from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.guarded_reader import WRAPPED

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # guest time is in user already
OLDEST = 4  # modes that any file has: user, nice, system, idle
TICKS = os.sysconf("SC_CLK_TCK")  # of /proc/stat per second
STEP_BACK = 3.0  # seconds; iowait may go back a little (proc_stat(5)); further back is a CPU taken offline
COUNTS: dict[str, Family] = {
    "ctxt": names.HOST_CONTEXT_SWITCHES_TOTAL,
    "btime": names.HOST_BOOT_TIME_SECONDS,
    "processes": names.HOST_PROCESSES_STARTED_TOTAL,
    "procs_running": names.HOST_PROCESSES_RUNNING,
    "procs_blocked": names.HOST_PROCESSES_BLOCKED,
}
MOST = {"procs_running": 1 << 31, "procs_blocked": 1 << 31}  # the kernel may write -1 as 4294967295
WINDOWS = ("1m", "5m", "15m")
RESOURCES = ("cpu", "memory", "io", "irq")  # the last since Linux 6.1


class CpuStat:
    """Parses /proc/stat. Keeps the seconds of the last reading, so that a counter does not go back a little."""

    def __init__(self) -> None:
        self._seconds = [0.0] * len(MODES)

    def rows(self, data: bytes) -> Iterator[Row]:
        """Yields the samples; NaN is no value. Raises ValueError and LookupError for any other text."""
        lines = {name: rest for name, _, rest in (line.partition(" ") for line in data.decode("ascii").splitlines())}
        self._seconds = without_small_steps_back(self._seconds, parse_cpu(lines["cpu"]))
        for mode, seconds in zip(MODES, self._seconds, strict=True):
            yield (names.HOST_CPU_SECONDS_TOTAL, (mode,)), seconds
        yield (names.HOST_CPUS, ()), sum(name.startswith("cpu") for name in lines) - 1
        for name, family in COUNTS.items():
            count = int(lines.get(name) or -1)  # some containers' files, and old kernels, lack one
            if 0 <= count < MOST.get(name, WRAPPED):
                yield (family, ()), count


def parse_cpu(text: str) -> list[float]:
    """Returns the seconds by mode, from the line of all CPUs; NaN for a mode that it lacks, and for a count that
    wrapped, such as steal of a virtual machine that was moved. Raises ValueError for any other text."""
    ticks = [int(field) for field in text.split()[: len(MODES)]]
    if len(ticks) < OLDEST:
        raise ValueError(f"cpu: {text!r}")
    seconds = [count / TICKS if 0 <= count < WRAPPED else nan for count in ticks]
    return seconds + [nan] * (len(MODES) - len(seconds))


def without_small_steps_back(old: Sequence[float], new: Sequence[float]) -> list[float]:
    """Returns the new counts without small steps back: rate() would take one for a restart from 0."""
    return [before if 0 < before - now < STEP_BACK else now for before, now in zip(old, new, strict=True)]


def load_rows(data: bytes) -> Iterator[Row]:
    """Parses /proc/loadavg: three averages, then running tasks / all tasks."""
    *averages, tasks = data.split()[:4]
    for window, average in zip(WINDOWS, averages, strict=True):
        yield (names.HOST_LOAD, (window,)), float(average)
    yield (names.HOST_THREADS, ()), int(tasks[tasks.index(b"/") + 1 :])


def pressure_rows(resource: str) -> Callable[[bytes], Iterable[Row]]:
    """Returns a parser of /proc/pressure/<resource>."""
    return lambda data: [
        ((names.HOST_PRESSURE_SECONDS_TOTAL, (resource, kind)), seconds)
        for kind, seconds in parse_pressure(data).items()
    ]


def parse_pressure(data: bytes) -> dict[str, float]:
    """Returns seconds by kind, from lines `some avg10=… avg60=… avg300=… total=<microseconds>` and `full …`.

    One of them may be missing: of cpu, `full` is there since Linux 5.13; irq has only `full`. Raises ValueError.
    """
    found: dict[str, float] = {}
    for line in data.decode("ascii").splitlines():
        kind, *_, total = line.split()
        if kind not in ("some", "full") or not total.startswith("total="):
            raise ValueError(f"no pressure: {line!r}")
        found[kind] = int(total.removeprefix("total=")) / 1e6
    return found
