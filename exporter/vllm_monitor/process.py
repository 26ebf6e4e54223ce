"""What the parts of the library share in one process: a snapshot file and a thread, however many parts are loaded."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vllm_monitor import place
from vllm_monitor.background import Background
from vllm_monitor.stats import EngineLoad
from vllm_monitor.tokens import FinishedTokens


@dataclass
class Process:
    """`middleware`: it counts requests in this process, so that others do not count them again.

    `tokens`: of the requests that the engine finished, for the middleware. `loads`: each engine after its last step.
    """

    pid: int
    background: Background
    middleware: bool = False
    tokens: FinishedTokens = field(default_factory=FinishedTokens)
    loads: Mapping[str, EngineLoad] = field(default_factory=dict)


Part = Callable[[Process], None]
LOGGER = logging.getLogger("vllm_monitor")

_LOCK = threading.Lock()
_parts: list[Part] = []
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
            for part in _parts:
                _add(part, _this)
        return _this


def known_loads() -> Mapping[str, EngineLoad]:
    """Returns the loads of this process's engines; none where no plug-in is told of steps."""
    return _this.loads if _this is not None and _this.pid == os.getpid() else {}


def attach(part: Part) -> None:
    """Has a part take its place in this process, and in those that are forked from it, as soon as they count at all.

    A part is given the process, and does not ask for it by `this_process`.
    """
    with _LOCK:
        if part not in _parts:
            _parts.append(part)
            if _this is not None and _this.pid == os.getpid():
                _add(part, _this)


def _add(part: Part, process: Process) -> None:
    try:
        part(process)
    except Exception:
        LOGGER.exception("vllm_monitor: a part could not start; the others and the server are not affected")
