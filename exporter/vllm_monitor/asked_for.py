"""Logs that the environment asks for. Their modules are loaded only then: a start of vLLM waits for what is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm_monitor.request_log import RequestLog


def request_log(environment: Mapping[str, str] = os.environ) -> RequestLog | None:
    """Returns the log of requests with ENABLE_REQUEST_TIMING=1, else None."""
    if environment.get("ENABLE_REQUEST_TIMING", "0") != "1":
        return None
    from vllm_monitor.request_log import RequestLog

    return RequestLog()


def health_log(environment: Mapping[str, str] = os.environ) -> None:
    """Starts the log of the engine's health with ENABLE_VLLM_MONITOR=1, once a process."""
    if environment.get("ENABLE_VLLM_MONITOR", "0") == "1":
        from vllm_monitor.health_log import start_once

        start_once(environment.get("VLLM_MONITOR_INTERVAL", ""))
