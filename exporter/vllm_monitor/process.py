"""What the parts of the library share in one process: a snapshot file and a thread, however many parts are loaded."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from vllm_monitor import place
from vllm_monitor.background import Background


@dataclass
class Process:
    """`middleware`: it counts requests in this process, so that others do not count them again."""

    pid: int
    background: Background
    middleware: bool = False


_LOCK = threading.Lock()
_this: Process | None = None


def this_process() -> Process | None:
    """Returns this process's; after a fork a new one. None without the directory. Raises OSError."""
    global _this
    with _LOCK:
        if _this is None or _this.pid != os.getpid():
            folder = place.directory()
            if folder is None:
                return None
            _this = Process(os.getpid(), Background(folder, place.port()))
        return _this
