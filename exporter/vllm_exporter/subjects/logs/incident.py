"""Judges a class in its context: the same line can be a fault, the echo of one, or part of a planned stop. Pure."""

from __future__ import annotations

from vllm_exporter.facts.events import Severity
from vllm_exporter.subjects.logs.table import LogClass

PLANNED = "planned.shutdown"  # the class of a symptom of a stop that was asked for
ECHO_SECONDS = 60.0  # a symptom belongs to the cause that came at most this long before


class Incident:
    """The context of one server, from the last lines of its logs."""

    def __init__(self) -> None:
        self.ready: bool | None = None  # None: no line has shown it
        self.planned = False  # somebody asked it to stop
        self._cause_at: float | None = None

    def saw(self, state: str, trigger: bool = False) -> None:
        """Notes a line that proves a state; `trigger`: it says that somebody asked for the stop."""
        if state == "args_parsed":
            self.ready, self.planned, self._cause_at = False, False, None
        elif state == "listening":
            self.ready = True
        if trigger:
            self.planned = True

    def judge(self, kind: LogClass, at: float) -> tuple[str, Severity]:
        """Returns the class that counts and its severity. `at` is in seconds of any clock."""
        if not kind.wrapper:
            if kind.severity in ("error", "critical"):
                self._cause_at = at
            return kind.name, kind.starting if self.ready is False else kind.severity
        if self.planned:
            return PLANNED, "info"
        echo = self._cause_at is not None and 0 <= at - self._cause_at <= ECHO_SECONDS
        return kind.name, "info" if echo else kind.severity
