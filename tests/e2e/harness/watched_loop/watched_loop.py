"""A vLLM plug-in that measures an API server's event loop: how late it is, and what record() of the part inside takes.

vLLM loads it when this folder is on PYTHONPATH. Once a second it appends to the files of WATCHED_LOOP_DIR, in doubles:
`late`, `record` and `empty` in seconds; `thread` in threes: CLOCK_MONOTONIC, steps so far, and seconds of CPU of the
part's other thread so far.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

EVERY = 1 / 300  # seconds between two looks at the loop
FLUSH = 1.0
LOGGER = "vllm_monitor.stat_logger"  # module of the part's
THREAD = "vllm-monitor"


def register() -> None:
    """Wraps the engine's client once; vLLM calls this several times in a process."""
    from vllm.v1.engine.async_llm import AsyncLLM

    if not hasattr(AsyncLLM, "_watched_loop"):
        AsyncLLM._watched_loop = True
        AsyncLLM.__init__ = watched(AsyncLLM.__init__)


def watched(made: Any) -> Any:
    @functools.wraps(made)
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        watch = Watch()
        for logger in getattr(self.logger_manager, "stat_loggers", ()):
            if type(logger).__module__ == LOGGER:
                logger.__dict__["record"] = watch.timed(logger.record)
        self._watch = asyncio.get_running_loop().create_task(watch.run())

    return make


class Watch:
    """What is seen of a loop, until it is written."""

    def __init__(self) -> None:
        self._folder = Path(os.environ["WATCHED_LOOP_DIR"])
        self._found = {name: array("d") for name in ("late", "record", "empty", "thread")}
        self._steps = 0

    def timed(self, record: Callable[..., None]) -> Callable[..., None]:
        """Returns a function that records, and times that in one step and an empty function in the next.

        Only what is called first is timed: the second one of a step finds warm caches.
        """
        recorded, nothing = self._found["record"].append, self._found["empty"].append

        def empty(*args: Any, **kwargs: Any) -> None:
            pass

        def call(*args: Any, **kwargs: Any) -> None:
            self._steps += 1
            first, keep = (record, recorded) if self._steps % 2 else (empty, nothing)
            began = perf_counter()
            first(*args, **kwargs)
            keep(perf_counter() - began)
            if first is empty:
                record(*args, **kwargs)

        return call

    async def run(self) -> None:
        late, written = self._found["late"], time.monotonic()
        while True:
            began = perf_counter()
            await asyncio.sleep(EVERY)
            late.append(perf_counter() - began - EVERY)
            if time.monotonic() >= written + FLUSH:
                written = time.monotonic()
                self._write()

    def _write(self) -> None:
        for thread in threading.enumerate():
            if thread.name == THREAD and thread.ident is not None:
                seconds = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                self._found["thread"].extend((time.monotonic(), self._steps, seconds))
        for name, values in self._found.items():
            with (self._folder / name).open("ab") as file:
                values.tofile(file)
            del values[:]
