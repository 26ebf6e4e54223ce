"""Frees memory of this process when a person asks for it: garbage of Python, and what torch keeps for later."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm_monitor import moments
from vllm_monitor.commands import Command, Mailbox
from vllm_monitor.moments import Moment
from vllm_monitor.place import Role, own_rank
from vllm_monitor.series import Series

NAME = "free-memory"  # of its commands
PATIENCE = 5.0  # seconds that it waits for a moment without a step
LAST_PULL = "vllm_memory_lever_last_pull_timestamp_seconds"
FREED = "vllm_memory_lever_freed_bytes_total"
PULLS = "vllm_memory_lever_pulls_total"
SECONDS = "vllm_memory_lever_seconds_total"
ACCELERATORS = ("cuda", "xpu")  # modules of torch; ROCm is its cuda
LOGGER = logging.getLogger("vllm_monitor")


@dataclass(frozen=True)
class Freed:
    """Bytes that the process gave back to the host and to its devices."""

    host: int = 0
    device: int = 0


class MemoryLever:
    """Obeys the commands of a mailbox, between two steps where there is one. API servers have no steps."""

    def __init__(
        self,
        series: Series,
        mailbox: Mailbox,
        role: Role,
        moment: Callable[[], Moment] = moments.now,
        free: Callable[[bool], Freed] | None = None,
    ) -> None:
        self._series = series
        self._mailbox = mailbox
        self._role = role
        self._moment = moment
        self._free = free or free_memory
        self._asked: tuple[Command, float] | None = None  # and since when, CLOCK_MONOTONIC

    def __call__(self, now: float) -> Iterator[None]:
        command = self._mailbox.take()
        if command is not None:
            self._asked = command, now
        if self._asked is not None:
            moment = Moment(False, True) if self._role == "api_server" else self._moment()
            if moment.idle or now - self._asked[1] >= PATIENCE:
                command, self._asked = self._asked[0], None
                self._pull(command, moment)
        yield

    def _pull(self, command: Command, moment: Moment) -> None:
        began = time.perf_counter()
        try:
            # The cache of the device only once the process serves: a start records CUDA graphs, which that would end.
            freed = self._free(moment.serves)
        except Exception:
            LOGGER.exception("vllm_monitor: memory could not be freed; the server is not affected")
            freed = Freed()
        seconds = time.perf_counter() - began
        when = "idle" if moment.idle else "busy"
        own = {"role": self._role, "rank": own_rank()}
        series = self._series
        series.count(series.place("counter", FREED, **own, memory="host"), freed.host)
        series.count(series.place("counter", FREED, **own, memory="device"), freed.device)
        series.count(series.place("counter", SECONDS, **own), seconds)
        series.count(series.place("counter", PULLS, **own, moment=when))
        series.set(series.place("max", LAST_PULL, **own), command.generation / 1000)
        LOGGER.warning(
            "vllm_monitor: freed %d bytes of the host's memory and %d of devices' in %.3f s, as asked, %s",
            freed.host,
            freed.device,
            seconds,
            "while no step ran" if moment.idle else f"during a step: none ended within {PATIENCE:g} s",
        )


def free_memory(devices: bool) -> Freed:
    """Collects garbage and, if `devices`, empties the caches of torch where it is in use; it is never imported here."""
    before = resident_bytes()
    gc.collect()
    device = sum(map(empty_cache, ACCELERATORS)) if devices else 0
    return Freed(max(0, before - resident_bytes()), device)


def empty_cache(accelerator: str) -> int:
    """Returns the bytes that torch gave back. Nothing is initialised: where torch is not in use, there is no cache."""
    module: Any = getattr(sys.modules.get("torch"), accelerator, None)
    if module is None or not module.is_initialized():
        return 0
    freed = 0
    for device in range(module.device_count()):
        before = module.memory_reserved(device)
        if before:
            with module.device(device):  # else this thread is on device 0, where each process would take a context
                module.empty_cache()
            freed += max(0, before - module.memory_reserved(device))
    return freed


def resident_bytes() -> int:
    """Returns the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
