"""The summary of the engine's health in the log, again and again. With ENABLE_VLLM_MONITOR=1 it starts by itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from vllm_monitor.health import look
from vllm_monitor.shown import show

INTERVAL = 30.0  # seconds, where the environment says none
SHORTEST = 0.1
LOGGER = logging.getLogger("vllm_monitor.health")

_lock = threading.Lock()
_running: threading.Event | None = None  # set to end the thread


def start_background_logging(interval: float = 10.0, model_manager: Any = None) -> None:
    """Logs the summary now and every `interval` seconds, at level INFO; another call takes the place of the one before.

    `model_manager`: as for `get_health_stats`. Raises ValueError for an interval that is no positive number.
    """
    global _running
    if not interval >= SHORTEST:
        raise ValueError(f"interval is {interval!r}, and must be {SHORTEST} seconds or more")
    try:
        loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    show(LOGGER)
    ended = threading.Event()
    with _lock:
        if _running is not None:
            _running.set()
        _running = ended
    threading.Thread(target=_log, args=(ended, interval, model_manager, loop), name="vllm-health", daemon=True).start()


def stop_background_logging() -> None:
    """Ends it; without one it does nothing."""
    global _running
    with _lock:
        if _running is not None:
            _running.set()
        _running = None


def start_once(interval: str = "") -> None:
    """Starts it if it has not been started. An interval that is no number is said and not taken; '' is INTERVAL."""
    if _running is not None:
        return
    try:
        start_background_logging(float(interval) if interval else INTERVAL)
    except ValueError:
        LOGGER.warning("VLLM_MONITOR_INTERVAL=%r is no number of seconds, %g are taken", interval, INTERVAL)
        start_background_logging(INTERVAL)


def _log(ended: threading.Event, interval: float, model_manager: Any, loop: asyncio.AbstractEventLoop | None) -> None:
    while True:
        LOGGER.info("%s", look(model_manager, loop).summary())
        if ended.wait(interval):
            return
