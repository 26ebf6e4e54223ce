"""Counts classes of lines, and decides which of them are worth an event of their own. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vllm_exporter.facts.events import Severity
from vllm_exporter.subjects.logs.table import LogClass

QUIET_SECONDS = 60.0  # after an event of a class; lines in this time are counted, and the next event has their number
ALWAYS = ("error", "critical")  # severities whose classes are shown with 0: rate() misses the first of a new series

ClassKey = tuple[str, str, str]  # server, class, severity


class ClassCounts:
    """Counts lines by server, class and severity. A key never goes away."""

    def __init__(self, servers: Iterable[str], kinds: Iterable[LogClass]) -> None:
        named = tuple(kinds)
        self.counts: dict[ClassKey, int] = {
            (server, kind.name, kind.severity): 0
            for server in dict.fromkeys(servers)
            for kind in named
            if kind.severity in ALWAYS
        }
        self.last: dict[tuple[str, str], float] = {}  # Unix time by server and class

    def add(self, server: str, name: str, severity: Severity, at: float) -> None:
        key = (server, name, severity)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.last[server, name] = max(at, self.last.get((server, name), 0.0))


class EventThrottle:
    """Remembers the last events, so that a class has one every QUIET_SECONDS at most."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, bytes, int | None], str] = {}  # the last one by server and process
        self._told: dict[tuple[str, str], float] = {}  # time of the last event by server and class
        self._untold: dict[tuple[str, str], int] = {}

    def new_state(self, server: str, process: bytes, pid: int | None, state: str) -> bool:
        """True if the process was in another state before. Progress bars prove the same one a hundred times."""
        key = (server, process, pid)
        if self._states.get(key) == state:
            return False
        if len(self._states) > 1000:  # processes of many restarts
            self._states.clear()
        self._states[key] = state
        return True

    def due(self, server: str, name: str, now: float) -> int | None:
        """Returns how many lines of the class had no event since the last one, if one is due; None if it is too soon.

        A dead engine prints a traceback for each request: thousands of lines that say the same.
        """
        key = (server, name)
        told = self._told.get(key)
        if told is not None and now - told < QUIET_SECONDS:
            self._untold[key] = self._untold.get(key, 0) + 1
            return None
        self._told[key] = now
        return self._untold.pop(key, 0)
