"""What only the serving process knows, handed to the exporter without touching vLLM. Standard library only.

`VLLMMetrics` and what belongs to it need prometheus_client, and are imported when they are first asked for.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vllm_monitor.middleware import Middleware

if TYPE_CHECKING:
    from vllm_monitor.health import HealthStats, answer_health, get_health_stats
    from vllm_monitor.health_http import health_router
    from vllm_monitor.health_log import start_background_logging, stop_background_logging
    from vllm_monitor.offline import InstrumentedLLMEngine
    from vllm_monitor.vllm_metrics import VLLMMetrics, gpu_metrics_updater, metrics, start_metrics_server

LOGGER = logging.getLogger(__name__)
if LOGGER.level == logging.NOTSET:  # a library of vLLM 0.32 sets the level of all loggers without one to ERROR
    LOGGER.setLevel(logging.WARNING)

__all__ = [
    "HealthStats",
    "InstrumentedLLMEngine",
    "Middleware",
    "VLLMMetrics",
    "answer_health",
    "get_health_stats",
    "gpu_metrics_updater",
    "health_router",
    "metrics",
    "start_background_logging",
    "start_metrics_server",
    "stop_background_logging",
]

_HOMES = {
    "HealthStats": "health",
    "InstrumentedLLMEngine": "offline",
    "VLLMMetrics": "vllm_metrics",
    "gpu_metrics_updater": "vllm_metrics",
    "answer_health": "health",
    "get_health_stats": "health",
    "health_router": "health_http",
    "metrics": "vllm_metrics",
    "start_background_logging": "health_log",
    "stop_background_logging": "health_log",
    "start_metrics_server": "vllm_metrics",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
