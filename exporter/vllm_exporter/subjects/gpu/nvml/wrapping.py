"""Makes a counter of the driver that may fall into one that only grows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

WRAP = 1 << 32  # the driver counts PCIe bytes in 32 bits: pexCounters in ctrl2080bus.h of its open modules


@dataclass
class WrappingCounter:
    """A counter that wraps, and that a reset of the GPU starts again.

    After a fall that was a wrap WRAP is added; after any other the count goes on from where it was. In doubt it was no
    wrap: bytes that are missing are a smaller mistake than 4 GiB that never were. Its growth proves nothing: 16 lanes
    of PCIe 5 carry WRAP 14 times a second.
    """

    last: float = 0  # of the driver; +inf while paused
    offset: float = 0
    _before: float = 0  # `last` when it was paused

    def add(self, now: float, restarted: bool = False) -> float:
        """Returns the count. `restarted`: there are signs that the GPU was reset since the last count."""
        if now < self.last:
            self._fall(now, restarted)
        self.last = now
        return now + self.offset

    def pause(self) -> None:
        """Notes that the GPU may be reset before the next count: a fall is then no wrap."""
        if self.last != inf:
            self._before, self.last = self.last, inf

    def _fall(self, now: float, restarted: bool) -> None:
        if self.last == inf:
            self.offset += self._before if now < self._before else 0
        else:
            self.offset += self.last if restarted or self.last >= WRAP else WRAP
