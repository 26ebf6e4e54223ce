"""How long a process has run, from /proc/uptime: unlike the wall clock it cannot be set."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of start times in /proc/<pid>/stat


def read_age(proc: Path, start: int) -> float | None:
    """Seconds since `start`, in clock ticks since boot. None when the kernel does not say."""
    try:
        uptime = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return max(0.0, uptime - start / TICKS)
