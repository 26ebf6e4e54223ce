"""What the exporter needs of the world and tests replace."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def wall(self) -> float:
        """Seconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards; all ages and intervals are measured with it."""
        ...
