"""Reads what a process waits for: its state, and where in the kernel. Takes no lock that the process may hold."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.linux.files import read_file
from vllm_exporter.linux.stat import read_stat

RUNNING = (b"", b"0")  # values of wchan when the process does not wait, or we may not know


@dataclass(frozen=True)
class ProcessWait:
    """One look at one process."""

    state: str  # of the kernel: R, S, D, T …
    cpu_ticks: int
    at: float  # monotonic seconds at which it was read
    wchan: str = ""
    kernel: tuple[str, ...] = ()  # functions of its stack in the kernel, innermost first; for root only


def read_wait(proc: Path, pid: int) -> ProcessWait | None:
    """Returns None when the process is gone or its stat cannot be used."""
    try:
        stat = read_stat(proc, pid)
    except SourceError:
        return None
    if stat is None:
        return None
    wchan = (read_file(proc / str(pid) / "wchan", 256) or b"").strip()
    kernel = parse_kernel_stack(read_file(proc / str(pid) / "stack", 16384) or b"")
    where = "" if wchan in RUNNING else wchan.decode("ascii", "replace")
    return ProcessWait(stat.state, stat.cpu_ticks, time.monotonic(), where, kernel)


def parse_kernel_stack(text: bytes) -> tuple[str, ...]:
    """Returns the functions of lines such as `[<0>] futex_wait_queue+0x60/0x90`."""
    names = (line.rpartition(b"] ")[2].partition(b"+")[0] for line in text.splitlines())
    return tuple(name.decode("ascii", "replace").strip() for name in names if name)
