"""The machine's two clocks, read together."""

from __future__ import annotations

import time
from pathlib import Path

from vllm_healer.model import Instant

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """Tells wall time, and CLOCK_BOOTTIME, which no one can set and which goes on in suspend (clock_gettime(2))."""

    def __init__(self, boot_id: Path = BOOT_ID) -> None:
        self._boot_id = boot_id.read_text(encoding="ascii").strip()

    def now(self) -> Instant:
        return Instant(wall=time.time(), boot=time.clock_gettime(time.CLOCK_BOOTTIME), boot_id=self._boot_id)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
