"""What is notable, as it happens: an event goes to every tap, in which it waits until it is drained."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vllm_exporter.ports import Clock

Severity = Literal["info", "warning", "error", "critical"]
KEPT = 200  # events kept for taps that are made later; a start of the exporter emits a few dozen

Field = str | int | float | bool | None


@dataclass(frozen=True)
class Event:
    """One line of the event log. `fields` depend on the kind; none holds a prompt, a key or other text of a user."""

    time: float  # Unix time
    kind: str  # lifecycle, xid, oom_kill, log, exit, failed_request …
    severity: Severity
    summary: str  # a sentence for people
    server: str = ""  # '' when it concerns the host, or no server can be told
    model_name: str = ""
    fields: Mapping[str, Field] = field(default_factory=dict)


class Tap:
    """The events since the last drain; the oldest are dropped, and counted, when there are more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._waiting: deque[Event] = deque(maxlen=limit)
        self.dropped = 0

    def put(self, event: Event) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append(event)

    def drain(self) -> list[Event]:
        """From one thread only; events may come in meanwhile."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]


class Bus:
    """Carries events from those who see them to those who want them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taps: tuple[Tap, ...] = ()
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._lock = threading.Lock()  # an event must not come between the last kept one and the tap

    def tap(self, limit: int = 1000) -> Tap:
        """All events from now on, and the last few before: collectors start in no order."""
        made = Tap(limit)
        with self._lock:
            for event in self._kept:
                made.put(event)
            self._taps = (*self._taps, made)
        return made

    def emit(
        self,
        kind: str,
        severity: Severity,
        summary: str,
        *,
        server: str = "",
        model_name: str = "",
        time: float | None = None,
        **fields: Field,
    ) -> None:
        """Puts an event into every tap; `time` is Unix time, None means now. Waits for nothing but other events."""
        at = self._clock.wall() if time is None else time
        event = Event(at, kind, severity, summary, server, model_name, fields)
        with self._lock:
            self._kept.append(event)
            for one in self._taps:
                one.put(event)
