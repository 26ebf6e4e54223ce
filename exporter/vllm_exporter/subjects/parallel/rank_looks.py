"""Looks at the process of a rank: state, CPU time, time in the run queue; its files kept open."""

from __future__ import annotations

import os
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.kept_file import KeptFile
from vllm_exporter.linux.stat import GONE, understand
from vllm_exporter.subjects.parallel.stragglers import Look

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of CPU time in /proc/<pid>/stat


class RankFiles:
    """/proc/<pid>/stat, and schedstat, which is of the main thread: the one that runs the model. 8 µs a look."""

    def __init__(self, proc: Path, ref: Ref) -> None:
        self._proc = proc
        self._ref = ref
        self._stat = KeptFile(proc / str(ref.pid) / "stat")
        self._schedstat = KeptFile(proc / str(ref.pid) / "schedstat")

    def look(self, now: float) -> Look | None:
        """None when the process has ended. Raises SourceError."""
        text = self._stat.read()
        if not text:
            return None
        stat = understand(text, self._proc, self._ref.pid)
        if stat.ref != self._ref or stat.state in GONE:
            return None
        return Look(now, stat.state, stat.cpu_ticks / TICKS, parse_run_delay(self._schedstat.read()))

    def close(self) -> None:
        self._stat.close()
        self._schedstat.close()


def parse_run_delay(text: bytes | None) -> float | None:
    """Seconds, from 'on CPU, waiting, times run', the first two in ns. None where the kernel does not count it."""
    if not text:
        return None
    fields = text.split()
    if len(fields) != 3 or not fields[1].isdigit():
        raise SourceError(f"schedstat: expected three numbers, got {text[:60]!r}")
    return int(fields[1]) / 1e9
