"""What a process of vLLM does just now, by the functions in which its main thread is. Nothing of vLLM is touched.

Seen in 0.20 and 0.32 (v1/engine/core.py, v1/executor/multiproc_executor.py).
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from types import FrameType

LOOPS = ("run_busy_loop", "worker_busy_loop")  # of an engine, of a worker
WAITS = (("_process_input_queue", "get"), ("dequeue",))  # what a loop calls to wait for something to do
DEEPEST = 200  # frames that are looked at


@dataclass(frozen=True)
class Moment:
    """`serves`: its start is over, and it is in its loop. `idle`: it waits there for something to do."""

    serves: bool
    idle: bool


def now() -> Moment:
    """Returns what the main thread of this process does."""
    return of(sys._current_frames().get(threading.main_thread().ident or 0))


def of(frame: FrameType | None) -> Moment:
    """Returns the moment of a thread, of which this is the innermost frame."""
    names: list[str] = []
    while frame is not None and len(names) < DEEPEST:
        if frame.f_code.co_name in LOOPS:
            called = tuple(reversed(names))
            return Moment(True, any(called[: len(one)] == one for one in WAITS))
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return Moment(False, False)
