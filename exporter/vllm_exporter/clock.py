"""The real clock."""

from __future__ import annotations

import time

from vllm_exporter.ports import Clock


class SystemClock(Clock):
    """This host's clock."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
