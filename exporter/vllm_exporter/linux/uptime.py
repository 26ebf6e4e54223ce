"""Reads the age of a process from /proc/uptime, which, unlike the wall clock, cannot be set."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of start times in /proc/<pid>/stat


def read_age(proc: Path, start: int) -> float | None:
    """Returns the seconds since `start`, which is in clock ticks since boot; None when /proc/uptime is not readable."""
    try:
        uptime = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return max(0.0, uptime - start / TICKS)
