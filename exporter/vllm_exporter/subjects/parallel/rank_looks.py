"""Reads the process of a rank: state, CPU time, time in the run queue."""

from __future__ import annotations

import os
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.files import read_file
from vllm_exporter.linux.stat import GONE, read_stat
from vllm_exporter.subjects.parallel.stragglers import RankLook

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of CPU time in /proc/<pid>/stat


def read_look(proc: Path, ref: Ref, now: float) -> RankLook | None:
    """Reads /proc/<pid>/stat, and schedstat, which is of the main thread: the one that runs the model.

    Returns None when the process has ended. Raises SourceError.
    """
    stat = read_stat(proc, ref.pid)
    if stat is None or stat.ref != ref or stat.state in GONE:
        return None
    run_delay = parse_run_delay(read_file(proc / str(ref.pid) / "schedstat", 256))
    return RankLook(now, stat.state, stat.cpu_ticks / TICKS, run_delay)


def parse_run_delay(text: bytes | None) -> float | None:
    """Returns seconds from 'on CPU, waiting, times run', the first two in ns; None if the kernel does not count."""
    if not text:
        return None
    fields = text.split()
    if len(fields) != 3 or not fields[1].isdigit():
        raise SourceError(f"schedstat: expected three numbers, got {text[:60]!r}")
    return int(fields[1]) / 1e9
