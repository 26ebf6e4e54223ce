"""Counts what is refused of webhooks and tells it in the log, so that who looks there does not see an idle healer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from vllm_healer.metrics import HealerMetrics

log = logging.getLogger(__name__)

QUIET = 10.0  # seconds between two lines of one kind: a sender without a token may come a thousand times a second


class Refusals:
    """Notes what is refused. Any thread may call it; `seconds` is a clock that only goes forward."""

    def __init__(self, metrics: HealerMetrics, seconds: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._gate = threading.Lock()
        self._told: dict[str, float] = {}  # kind -> when its last line was written
        self._untold: dict[str, int] = {}  # kind -> how many there were since

    def note(self, status: int, words: str, sender: str) -> None:
        """Counts one refused webhook; `words` say why."""
        self._metrics.webhook_requests.labels(code=str(status)).inc()
        self._tell(str(status), f"webhook refused status={status} from={sender}: {words}")

    def left_out(self, alerts: int, sender: str) -> None:
        """Counts alerts for which the journal had no room; 0 is nothing to tell."""
        if alerts:
            self._metrics.alerts_dropped.labels(reason="left_out").inc(alerts)
            words = "of servers that are not listed in healer.yml, or too many of one server"
            self._tell("left_out", f"left out {alerts} alerts from={sender}: {words}")

    def unreadable(self, found: Sequence[str], sender: str) -> None:
        """Counts alerts of a notification that could not be read; the others were taken."""
        if found:
            self._metrics.alerts_dropped.labels(reason="unreadable").inc(len(found))
            self._tell("unreadable", f"{len(found)} of a webhook's alerts cannot be read from={sender}: {found[0]}")

    def _tell(self, kind: str, words: str) -> None:
        """Writes a line, unless one of this kind was written lately; the next one counts those that were not."""
        now = self._seconds()
        with self._gate:
            if now - self._told.get(kind, float("-inf")) < QUIET:
                self._untold[kind] = self._untold.get(kind, 0) + 1
                return
            self._told[kind] = now
            more = self._untold.pop(kind, 0)
        log.warning("%s%s", words, f" ({more} more of this kind since the last line)" if more else "")
