"""Gets Python stacks of another process from py-spy, if installed. It reads memory and does not stop the process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

DEADLINE = 10.0  # seconds for one process: py-spy first reads the symbols of torch, which takes 2 s


def find_py_spy() -> str | None:
    """Returns the path of py-spy, found on the PATH or beside our own interpreter; else None."""
    return shutil.which("py-spy") or shutil.which("py-spy", path=os.path.dirname(sys.executable))


def dump_stacks(program: str, pids: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
    """Returns the frames of each process, innermost first, the main thread's before the others'; () on failure."""
    return {pid: parse_dump(_dump(program, pid)) for pid in pids}


def parse_dump(text: str) -> tuple[str, ...]:
    """Parses py-spy's output: frames are the indented lines, after a line that begins a thread."""
    threads: list[tuple[bool, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("Thread "):
            threads.append(("MainThread" in line, []))
        elif line.startswith("    ") and threads and not line.startswith("     "):
            threads[-1][1].append(line.strip())
    main_first = sorted(threads, key=lambda thread: not thread[0])
    return tuple(frame for _, frames in main_first for frame in frames)


def _dump(program: str, pid: int) -> str:
    command = [program, "dump", "--nonblocking", "--pid", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
