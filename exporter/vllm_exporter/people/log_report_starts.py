"""Finds the starts in a log and their steps, of several servers if each has a mark of its own. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from vllm_exporter.facts.events import Severity
from vllm_exporter.subjects.lifecycle.evidence import Mark
from vllm_exporter.subjects.lifecycle.startup import Startup
from vllm_exporter.subjects.lifecycle.states import ORDER
from vllm_exporter.subjects.logs.lines import LogLine, parse_process

MAX_STARTS = 1000  # the newest ones
MAX_STATES = 50  # of one server after its start
MAX_HOMES = 100  # servers that are told apart
LISTENING = "listening"
ARGUMENTS = {"args_parsed", "config_resolved"}  # steps before which arguments are printed, in several lines
ENDED = frozenset(("engine_dead", "stopping", "aborting"))

EventKey = tuple[str, str, int | None, str | None]  # class, process, pid, rank

# What differs between the processes of one server: a pid, a rank, the stream.
_OF_PROCESS = re.compile(rb"\[\d+\]|\[(?:rank|default)\d+\]|\[\d+,\d+\]|<?std(?:out|err)>?|^ *\d+: $| P | F ")


@dataclass
class LogStart:
    """One start of a server, and what came after it. Times are as in the log, None where it names none."""

    startup: Startup = field(default_factory=Startup)
    steps: list[tuple[str, str | None]] = field(default_factory=list)  # state and time
    later: list[tuple[str, str | None]] = field(default_factory=list)
    ready: bool = False
    failing: bool = False  # an error was said
    by: tuple[bytes, int | None] | None = None  # the process that printed its arguments
    open: dict[EventKey, Severity] = field(default_factory=dict)  # how bad events are, if it fails

    def ended(self) -> bool:
        return self.failing or not ENDED.isdisjoint(state for state, _ in self.later)

    def step(self, state: str, at: str | None) -> None:
        if state != "spawned" and all(name != state for name, _ in self.steps):
            self.steps.append((state, at))


Settled = tuple[LogStart, Severity]  # a start whose end is known, and how bad the lines in it are at most


class LogStarts:
    """The starts of one log, oldest first."""

    def __init__(self) -> None:
        self.all: deque[LogStart] = deque(maxlen=MAX_STARTS)
        self._current: dict[bytes, LogStart] = {}  # by what stands before the lines of a server

    def of(self, line: LogLine) -> LogStart | None:
        """Returns the start to which the line belongs; the newest one if it does not say to which."""
        return self._current.get(home(line)) or (self.all[-1] if self.all else None)

    def note(self, line: LogLine, state: str, seconds: float, at: str | None) -> Settled | None:
        """Notes a line that proves a state."""
        start = self.of(line)
        settled: Settled | None = None
        if start is None or self._begins(start, line, state):
            settled = None if start is None else (start, "critical")
            start = self._begin(line)
        if state == LISTENING:
            # Without steps nothing shows that what was said belongs to this start.
            settled = (start, "warning" if start.steps and not start.ready else "critical")
            start.ready, start.failing = True, False
            start.step(state, at)
        elif ORDER[state] < ORDER[LISTENING]:
            role, _ = parse_process(line.process)
            start.startup.note(Mark(seconds, state, role, line.rank, line.pid))
            start.step(start.startup.reached, at)
        elif not start.later or (start.later[-1][0] != state and len(start.later) < MAX_STATES):
            start.later.append((state, at))
        return settled

    def _begin(self, line: LogLine) -> LogStart:
        if len(self._current) >= MAX_HOMES:
            self._current.clear()
        start = self._current[home(line)] = LogStart(by=(line.process, line.pid))
        self.all.append(start)
        return start

    def _begins(self, start: LogStart, line: LogLine, state: str) -> bool:
        """True if the line begins a start: the first line of one, after a start that had its end."""
        steps = {name for name, _ in start.steps}
        if state == "engine_spawned":
            return start.ended() and (start.ready or state in steps)
        if state != "args_parsed":
            return False
        other = start.by != (line.process, line.pid) or self._current.get(home(line)) is not start
        return start.ended() or other or bool(steps - ARGUMENTS)


def home(line: LogLine) -> bytes:
    """Returns what stands before all lines of the line's server: `vllm-1  | `, `host1 vllm: `; b'' for nothing."""
    return _OF_PROCESS.sub(b"", line.stream.partition(b"(")[0]).strip()
