"""Judges a class in its context: the same line can be a fault, the echo of one, or part of a planned stop. Pure."""

from __future__ import annotations

from vllm_exporter.facts.events import Severity
from vllm_exporter.subjects.logs.table import LogClass

PLANNED = "planned.shutdown"  # the class of a symptom of a stop that was asked for
ECHO_SECONDS = 60.0  # a symptom belongs to the cause that came at most this long before
LISTENING = "listening"
AFTER_START = frozenset(  # states that only a server which was ready can show, or one that ends
    ("idle", "paused", "sleeping", "waking", "ft_recovery", "draining", "aborting", "engine_dead", "stopping")
)
ENDED = frozenset(("engine_dead", "stopping", "aborting"))


class Incident:
    """The context of one server, from the last lines of its logs."""

    def __init__(self) -> None:
        self.ready: bool | None = None  # None: no line has shown it
        self.planned = False  # somebody asked it to stop
        self._ended = False  # a line said that it ends: what follows may be the next start
        self._cause_at: float | None = None

    def saw(self, state: str, trigger: bool = False) -> None:
        """Notes a line that proves a state; `trigger`: it says that somebody asked for the stop."""
        if state == "args_parsed" or (state == "engine_spawned" and self._ended):
            self.ready, self.planned, self._ended, self._cause_at = False, False, False, None
        elif state == LISTENING:  # what was said to be a fault of this start was none
            self.ready, self._cause_at = True, None
        elif state and state not in AFTER_START and self.ready is None:
            self.ready = False
        if state in ENDED:
            self._ended = True
        if trigger:
            self.planned = True

    def saw_service(self) -> None:
        """Notes a line that only a serving server writes, such as uvicorn's about a request."""
        if self.ready is None:
            self.ready = True

    def judge(self, kind: LogClass, at: float) -> tuple[str, Severity]:
        """Returns the class that counts and its severity. `at` is in seconds of any clock."""
        if self.planned and (kind.wrapper or kind.stopping):
            return PLANNED, "info"
        if not kind.wrapper:
            if kind.severity in ("error", "critical"):
                self._cause_at = at
            return kind.name, kind.starting if self.ready is False else kind.severity
        return kind.name, "info" if self._is_echo(at) else kind.severity

    def judge_end(self, severity: Severity, at: float, uncaught: bool) -> Severity:
        """Returns the severity of an exception that was judged `severity` by itself: before the server is ready it ends
        the start. Nobody may take it for the cause of what follows: other lines say more.

        `uncaught`: Python itself printed it, and nobody caught it. Else it was logged as an error.
        """
        starting = self.ready is not True if uncaught else self.ready is False
        return "error" if starting and severity == "info" and not self.planned and not self._is_echo(at) else severity

    def _is_echo(self, at: float) -> bool:
        return self._cause_at is not None and 0 <= at - self._cause_at <= ECHO_SECONDS
