"""CPU time, tasks, load and pressure: /proc/stat, /proc/loadavg, /proc/pressure. No I/O."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from vllm_exporter.metrics.family import Series
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.part import Names, Reading

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # guest time is in user already
TICKS = os.sysconf("SC_CLK_TCK")  # of /proc/stat per second
STEP_BACK = 3.0  # seconds; iowait may go back a little (proc_stat(5)); further back is a CPU taken offline
COUNTS = [b"ctxt", b"btime", b"processes", b"procs_running", b"procs_blocked"]  # the last lines, in this order
WINDOWS = ("1m", "5m", "15m")
RESOURCES = ("cpu", "memory", "io", "irq")  # the last since Linux 6.1

STAT: tuple[Series, ...] = (
    *((names.HOST_CPU_SECONDS_TOTAL, (mode,)) for mode in MODES),
    (names.HOST_CPUS, ()),
    (names.HOST_CONTEXT_SWITCHES_TOTAL, ()),
    (names.HOST_BOOT_TIME_SECONDS, ()),
    (names.HOST_PROCESSES_STARTED_TOTAL, ()),
    (names.HOST_PROCESSES_RUNNING, ()),
    (names.HOST_PROCESSES_BLOCKED, ()),
)
LOAD: tuple[Series, ...] = (*((names.HOST_LOAD, (window,)) for window in WINDOWS), (names.HOST_THREADS, ()))


class Stat:
    """/proc/stat. Keeps the seconds of the last reading, so that a counter does not go back a little."""

    def __init__(self) -> None:
        self._seconds = [0.0] * len(MODES)

    def parse(self, data: bytes) -> Reading:
        self._seconds = without_small_steps_back(self._seconds, parse_cpu(data))
        counts = data[data.rindex(b"\nctxt ") :].split()
        if counts[:10:2] != COUNTS:
            raise ValueError(counts)
        # A list written out: a third of the cost of one that is computed.
        tail = [int(counts[1]), int(counts[3]), int(counts[5]), int(counts[7]), int(counts[9])]
        return (), [*self._seconds, data.count(b"\ncpu"), *tail]


def parse_cpu(data: bytes) -> list[float]:
    """Seconds by mode, from the line of all CPUs."""
    fields = data[: data.index(b"\n")].split()
    if fields[0] != b"cpu" or len(fields) <= len(MODES):
        raise ValueError(fields)
    return [int(ticks) / TICKS for ticks in fields[1:9]]


def without_small_steps_back(old: Sequence[float], new: Sequence[float]) -> list[float]:
    """The new counts, but no less than the old ones by a little: rate() would take that for a restart from 0."""
    return [before if 0 < before - now < STEP_BACK else now for before, now in zip(old, new, strict=True)]


def stat_series(_: Names) -> Sequence[Series]:
    return STAT


def parse_load(data: bytes) -> Reading:
    """/proc/loadavg: three averages, then tasks that run / that there are."""
    one, five, fifteen, tasks = data.split()[:4]
    return (), [float(one), float(five), float(fifteen), int(tasks[tasks.index(b"/") + 1 :])]


def load_series(_: Names) -> Sequence[Series]:
    return LOAD


def parse_pressure(data: bytes) -> Reading:
    """Lines `some avg10=… avg60=… avg300=… total=<microseconds>` and `full …`; one of them may be missing.

    Of cpu, `full` is there since Linux 5.13; irq has only `full`.
    """
    words = data.split()
    return KINDS[tuple(words[::5])], [int(total.removeprefix(b"total=")) / 1e6 for total in words[4::5]]


KINDS: dict[tuple[bytes, ...], Names] = {
    (b"some", b"full"): ("some", "full"),
    (b"some",): ("some",),
    (b"full",): ("full",),
}


def pressure_series(resource: str) -> Callable[[Names], Sequence[Series]]:
    return lambda kinds: [(names.HOST_PRESSURE_SECONDS_TOTAL, (resource, kind)) for kind in kinds]
