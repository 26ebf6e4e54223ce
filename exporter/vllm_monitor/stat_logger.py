"""The stat logger that vLLM loads by its entry point: one for all engines of an API server process.

vLLM calls `record` once a step in its event loop, and an exception there ends the server. So it only appends to a ring.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from vllm.v1.metrics.loggers import AggregateStatLoggerBase

from vllm_monitor import asked_for, exceptions
from vllm_monitor.loop_lag import LoopLag
from vllm_monitor.process import Process, this_process
from vllm_monitor.ring import Ring
from vllm_monitor.stats import StepCounter, attribute, number

LOGGER = logging.getLogger("vllm_monitor")
API_SERVERS = "_api_process_count"  # of vLLM's parallel_config, 0.20 and 0.32
PATIENCE = 100  # steps without one known attribute, after which it says that this vLLM is another than it knows


class StatLogger(AggregateStatLoggerBase):  # type: ignore[misc]  # vLLM is not installed where types are checked
    """Hands vLLM's statistics of each step to the thread that counts. Inert without the directory of snapshot files."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Takes whatever vLLM gives. It raises nothing: an exception here would end the server's start."""
        self._process: Process | None = None
        self.__dict__["record"] = _ignore
        try:
            asked_for.health_log()
            self._process = this_process()
            if self._process is not None:
                self._begin(self._process, named.get("vllm_config", arguments[0] if arguments else None))
        except Exception:
            LOGGER.exception("vllm_monitor: the plug-in could not start; the server is not affected")

    def _begin(self, process: Process, config: Any) -> None:
        exceptions.install(process.background)
        exceptions.watch_loop()
        ring = Ring()
        process.background.add(Steps(process, ring, number(attribute(config, "parallel_config"), API_SERVERS) or 1))
        try:
            process.background.add(LoopLag(process.background.series, asyncio.get_running_loop()))
        except RuntimeError:  # vLLM builds it outside of its loop, or there is none, as offline
            LOGGER.debug("vllm_monitor: no event loop here, so its lag is not measured")
        process.background.start()
        self.__dict__["record"] = ring.append

    def record(self, *arguments: Any, **named: Any) -> None:
        """Stands for the function that each instance has in its place: a call of a method would cost as much again."""

    def log(self, *arguments: Any, **named: Any) -> None:
        """Starts the thread again if it has ended; vLLM calls this every 10 s."""
        if self._process is not None:
            self._process.background.start()

    def log_engine_initialized(self, *arguments: Any, **named: Any) -> None:
        """Does nothing."""

    def record_sleep_state(self, *arguments: Any, **named: Any) -> None:
        """Does nothing: the exporter asks the server."""

    def record_admission_rejection(self, *arguments: Any, **named: Any) -> None:
        """Does nothing: vLLM's own family counts them."""


class Steps:
    """Counts the steps that are in a ring."""

    def __init__(self, process: Process, ring: Ring, api_servers: float = 1) -> None:
        self._series = process.background.series
        self._process = process
        self._ring = ring
        self._counter = StepCounter(self._series, process.tokens.saw, api_servers == 1)
        process.loads = self._counter.loads
        self._steps = 0
        self._failed = 0
        self._said = False

    def __call__(self, now: float) -> Iterator[None]:
        self._counter.requests_are_counted = self._process.middleware
        for at, arguments, named in self._ring.take():
            self._steps += 1
            try:
                self._counter.count(at, *parts(arguments, named))
            except Exception:  # noqa: BLE001 - one step that cannot be understood takes nothing from the others
                self._failed += 1
            yield
        self._say()

    def _say(self) -> None:
        series = self._series
        lost = self._ring.dropped + self._failed
        series.set(series.place("counter", "vllm_inside_steps_lost_total"), lost)
        strange = self._steps >= PATIENCE and not self._counter.understood
        series.set(series.place("max", "vllm_inside_disabled"), float(strange))
        if strange and not self._said:
            self._said = True
            LOGGER.error(
                "vllm_monitor: this vLLM's statistics have no attribute that is known; nothing is counted from them"
            )


def parts(arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Returns the scheduler's statistics, the iteration's, and the engine's index, given by place or by name."""
    scheduler, iteration, _, engine = (*arguments, None, None, None, None)[:4]
    scheduler = named.get("scheduler_stats", scheduler)
    iteration = named.get("iteration_stats", iteration)
    return scheduler, iteration, named.get("engine_idx", 0 if engine is None else engine)


def _ignore(*arguments: Any, **named: Any) -> None:
    """Stands for `record` where nobody wants numbers."""
