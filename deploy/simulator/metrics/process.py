"""process_* and python_*: of the process that answers, as prometheus_client words them."""

from __future__ import annotations

import gc
import os
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.simulator.metrics.cells import label_text, number_text

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")

_GC = (
    ("python_gc_objects_collected_total", "Objects collected during gc", "collected"),
    ("python_gc_objects_uncollectable_total", "Uncollectable objects found during GC", "uncollectable"),
    ("python_gc_collections_total", "Number of times this generation was collected", "collections"),
)


def process_text(extra_bytes: float = 0.0) -> Iterator[str]:
    """The lines. `extra_bytes`: memory that a server among many in one process pretends to hold."""
    yield from _gc_text()
    yield from _info_text()
    stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    rows = (
        ("virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", float(stat[20]) + extra_bytes),
        ("resident_memory_bytes", "gauge", "Resident memory size in bytes.", int(stat[21]) * PAGE + extra_bytes),
        ("start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
         _boot_time() + int(stat[19]) / TICKS),
        ("cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
         (int(stat[11]) + int(stat[12])) / TICKS),
        ("open_fds", "gauge", "Number of open file descriptors.", len(os.listdir("/proc/self/fd"))),
        ("max_fds", "gauge", "Maximum number of open file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    )  # fmt: skip
    for name, kind, words, value in rows:
        yield from (f"# HELP process_{name} {words}", f"# TYPE process_{name} {kind}")
        yield f"process_{name} {number_text(value)}"


def _gc_text() -> Iterator[str]:
    generations = gc.get_stats()
    for name, words, key in _GC:
        yield from (f"# HELP {name} {words}", f"# TYPE {name} counter")
        for number, stats in enumerate(generations):
            yield f"{name}{label_text({'generation': str(number)})} {number_text(stats[key])}"


def _info_text() -> Iterator[str]:
    major, minor, patch = platform.python_version_tuple()
    labels = {"implementation": platform.python_implementation(), "major": major, "minor": minor}
    labels |= {"patchlevel": patch, "version": platform.python_version()}
    yield from ("# HELP python_info Python platform information", "# TYPE python_info gauge")
    yield f"python_info{label_text(labels)} 1.0"


def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
