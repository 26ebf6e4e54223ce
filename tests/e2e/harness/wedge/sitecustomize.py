"""Loaded by each Python process that has this folder on PYTHONPATH: SIGUSR1 wedges its main thread until SIGUSR2.

The file WEDGE_DIR/<pid> says how: `spin` is a loop in Python, `sleep` one that holds nothing, and `hold` a call into C
that keeps the interpreter's lock, so that no thread of the process runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

_over = False


def _wedge(number: int, frame: object) -> None:
    global _over
    _over = False
    with open(os.path.join(os.environ["WEDGE_DIR"], str(os.getpid()))) as file:
        how = file.read()
    while not _over:
        if how == "sleep":
            time.sleep(0.2)
        elif how == "hold":
            ctypes.PyDLL(None).sleep(600)  # a signal ends it


def _release(number: int, frame: object) -> None:
    global _over
    _over = True


if "WEDGE_DIR" in os.environ:
    signal.signal(signal.SIGUSR1, _wedge)
    signal.signal(signal.SIGUSR2, _release)
