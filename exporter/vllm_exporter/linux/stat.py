"""Reads /proc/<pid>/stat: the kernel answers without taking a lock that the process may hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.files import read_file

PAGE = os.sysconf("SC_PAGE_SIZE")
SIZE = 1024  # bytes: 52 numbers and a name of 64 at most
KERNEL_THREAD = 0x00200000  # PF_KTHREAD of the flags, include/linux/sched.h
GONE = ("Z", "X", "x")  # zombie and dead: it does not run any more, whatever its parent does


@dataclass(frozen=True)
class ProcessStat:
    """The fields of a stat that are used. See proc_pid_stat(5)."""

    ref: Ref
    comm: bytes
    state: str
    ppid: int
    threads: int
    cpu_ticks: int  # user and system, of all threads
    resident: int  # bytes
    kernel: bool  # a thread of the kernel, which never becomes anything else
    readable: bool  # True if this user may see all of it, the exit status included


def parse_stat(text: bytes) -> ProcessStat:
    """Parses /proc/<pid>/stat. Raises ValueError for anything else. The name may hold blanks and parentheses."""
    pid, _, rest = text.partition(b" (")
    comm, parenthesis, rest = rest.rpartition(b") ")
    fields = rest.split(None, 24)
    if not parenthesis or len(fields) < 22:
        raise ValueError(f"not a stat: {text[:60]!r}")
    return ProcessStat(
        ref=Ref(int(pid), int(fields[19])),
        comm=comm,
        state=fields[0].decode("ascii", "replace"),
        ppid=int(fields[1]),
        threads=int(fields[17]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        resident=max(0, int(fields[21])) * PAGE,  # the sum of counts per CPU may be below 0 for a moment
        kernel=bool(int(fields[6]) & KERNEL_THREAD),
        readable=len(fields) > 23 and fields[23] != b"1",  # start_code: 1 instead of an address without the right
    )


def parse_exit_status(text: bytes, ref: Ref) -> int | None:
    """Returns the wait status of a zombie. None: it is another process, not a zombie, or we lack the right."""
    fields = text.rpartition(b") ")[2].split()
    if len(fields) < 50 or fields[0] != b"Z" or int(fields[19]) != ref.start:
        return None
    return int(fields[49])


def read_stat(proc: Path, pid: int) -> ProcessStat | None:
    """Returns None when the process is gone. Raises SourceError."""
    path = f"{proc}/{pid}/stat"
    text = read_file(path, SIZE)
    if not text:
        return None
    try:
        return parse_stat(text)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None


def is_own_namespace(proc: Path) -> bool:
    """True if process ids in `proc` are of our PID namespace; False for another one, or a directory of a test."""
    try:
        return os.readlink(proc / "self") == str(os.getpid())
    except OSError:
        return False
