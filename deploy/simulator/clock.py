"""Real and simulated time: `--speed 60` lets an hour pass in a minute."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Simulated seconds since boot. Processes of one host with the same speed agree, for CLOCK_MONOTONIC is shared."""

    speed: float = 1.0

    def now(self) -> float:
        return time.monotonic() * self.speed

    def real(self, simulated: float) -> float:
        """So many real seconds are that many simulated ones."""
        return simulated / self.speed

    def sleep(self, simulated: float) -> None:
        time.sleep(max(0.0, self.real(simulated)))
