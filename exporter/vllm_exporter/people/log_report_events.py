"""Gathers what a log says: starts with their steps, and events by class and process. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from vllm_exporter.facts.events import Severity
from vllm_exporter.people.log_report_times import LogTimes
from vllm_exporter.subjects.lifecycle.evidence import Mark
from vllm_exporter.subjects.lifecycle.startup import Startup
from vllm_exporter.subjects.lifecycle.states import ORDER
from vllm_exporter.subjects.logs.follow import OTHER, LineFinding
from vllm_exporter.subjects.logs.lines import LOUD, LogLine, parse_process
from vllm_exporter.subjects.logs.redact import redact
from vllm_exporter.subjects.logs.table import SEVERITIES, LogClass

MAX_EVENTS = 2000  # of class and process; what comes after counts without its process
MAX_STARTS = 1000  # the newest ones
MAX_STATES = 50  # of one server after its start
SAMPLES = 5
MAX_ANNOUNCED = 64  # records whose traceback may follow
OF_HOST = ("gpu.", "host.")  # classes that are true of the host, whether a start succeeds or not
ARGUMENTS = {"args_parsed", "config_resolved"}  # steps before which arguments are printed, in several lines
ENDED = frozenset(("engine_dead", "stopping", "aborting"))

EventKey = tuple[str, str, int | None, str | None]  # class, process, pid, rank


@dataclass
class LogStart:
    """One start of a server, and what came after it. Times are as in the log, None where it names none."""

    startup: Startup = field(default_factory=Startup)
    steps: list[tuple[str, str | None]] = field(default_factory=list)  # state and time
    later: list[tuple[str, str | None]] = field(default_factory=list)
    ready: bool = False
    failing: bool = False  # an error was said
    by: tuple[bytes, int | None] | None = None  # the process that printed its arguments


@dataclass
class LogEvent:
    """The lines of one class that one process wrote."""

    name: str
    process: str
    pid: int | None
    rank: str | None
    do: str
    severity: Severity = "info"
    open: Severity = "info"  # of those in a start whose end is not known yet
    summary: str = ""
    count: int = 0
    first: str | None = None
    last: str | None = None
    exception: str = ""
    frame: str = ""

    @property
    def worst(self) -> Severity:
        return max(self.severity, self.open, key=SEVERITIES.index)

    def settle(self, most: Severity = "critical") -> None:
        """Closes the start in which lines were judged: they are at most that bad."""
        self.severity = max(self.severity, min(self.open, most, key=SEVERITIES.index), key=SEVERITIES.index)
        self.open = "info"


class LogEvents:
    """Takes findings in the order of the log."""

    def __init__(self, kinds: dict[str, LogClass], times: LogTimes) -> None:
        self.events: dict[EventKey, LogEvent] = {}
        self.starts: deque[LogStart] = deque(maxlen=MAX_STARTS)
        self.not_understood = 0
        self.samples: list[str] = []
        self._kinds = kinds
        self._times = times
        self._open: list[LogEvent] = []  # events of a start whose end is not known yet
        self._announced: dict[tuple[bytes, bytes, bytes], LogEvent] = {}  # by stream, place and time of the record
        self._last_unknown: LogEvent | None = None  # an exception that was logged as an error

    def note_unknown(self, line: LogLine) -> None:
        """Notes a line of an error that no class knows."""
        self.not_understood += 1
        shown = redact(line.body)
        if len(self.samples) < SAMPLES and shown not in self.samples:
            self.samples.append(shown)

    def note(self, finding: LineFinding) -> None:
        at = self._times.text(finding.at)
        if finding.state:
            self._note_state(finding, at)
        event = self._event(finding)
        event.count += 1
        event.first, event.last = event.first if event.count > 1 else at, at
        self._judge(event, finding)
        self._note_exception(event, finding)

    def finish(self, fine: bool) -> None:
        """Closes the last start. `fine`: the server served in the end, or somebody asked for the end."""
        self._settle("critical")
        calm = all(event.severity == "info" for event in self.events.values())
        if calm and self._last_unknown is not None and not fine:
            self._last_unknown.severity = "error"  # the last that is known of it

    def _note_state(self, finding: LineFinding, at: str | None) -> None:
        line, state = finding.line, finding.state
        if self._begins(line, state):
            self._settle("critical")
            self.starts.append(LogStart(by=(line.process, line.pid)))
        start = self.starts[-1] if self.starts else None
        if start is None:
            start = LogStart()
            self.starts.append(start)
        if state == "listening":
            self._settle("warning" if start.steps and not start.ready else "critical")
            start.ready, start.failing = True, False
            self._step(start, state, at)
        elif ORDER[state] < ORDER["listening"]:
            role, _ = parse_process(line.process)
            start.startup.note(Mark(finding.at, state, role, line.rank, line.pid))
            self._step(start, start.startup.reached, at)
        elif not start.later or (start.later[-1][0] != state and len(start.later) < MAX_STATES):
            start.later.append((state, at))

    def _begins(self, line: LogLine, state: str) -> bool:
        """True if the line begins a start: the first step does, and the first one after a start that had its end."""
        if ORDER[state] >= ORDER["listening"]:
            return False
        if not self.starts:
            return True
        start = self.starts[-1]
        steps = {name for name, _ in start.steps}
        ended = start.failing or not ENDED.isdisjoint(name for name, _ in start.later)
        if state == "engine_spawned":
            return ended and (start.ready or state in steps)
        return state == "args_parsed" and (ended or start.by != (line.process, line.pid) or bool(steps - ARGUMENTS))

    def _step(self, start: LogStart, state: str, at: str | None) -> None:
        if state != "spawned" and all(name != state for name, _ in start.steps):
            start.steps.append((state, at))

    def _event(self, finding: LineFinding) -> LogEvent:
        line = finding.line
        key = finding.name, line.process.decode("utf-8", "replace"), line.pid, line.rank or None
        if key not in self.events and len(self.events) >= MAX_EVENTS:
            key = finding.name, "", None, None
        if key not in self.events:
            kind = self._kinds.get(finding.name)
            self.events[key] = LogEvent(*key, kind.do if kind else "")
        return self.events[key]

    def _judge(self, event: LogEvent, finding: LineFinding) -> None:
        """Notes how bad the line is; in a start that is still open it may be taken back."""
        severity, start = finding.severity, self.starts[-1] if self.starts else None
        if not event.summary or SEVERITIES.index(severity) > SEVERITIES.index(event.worst):
            event.summary = redact(finding.excerpt) or finding.exception
        if finding.name == OTHER:
            self._last_unknown = event if finding.line.level in LOUD else None
        if severity in ("error", "critical") and start is not None:
            start.failing = True
            if finding.name == "port.inuse" and start.ready and not start.later:
                start.ready = False  # uvicorn starts the application first and takes its port afterwards
        if start is None or start.ready or finding.name.startswith(OF_HOST):
            event.severity = max(event.severity, severity, key=SEVERITIES.index)
            return
        event.open = max(event.open, severity, key=SEVERITIES.index)
        if event not in self._open:
            self._open.append(event)

    def _note_exception(self, event: LogEvent, finding: LineFinding) -> None:
        """Notes the first exception of an event: later ones came of it. A line that announces a traceback has its."""
        line = finding.line
        record = line.stream, line.place, line.stamp
        if not finding.exception:
            if len(self._announced) >= MAX_ANNOUNCED:
                self._announced.clear()
            self._announced[record] = event
            return
        for one in (event, self._announced.get(record, event)):
            if not one.exception or (one is event and not one.frame):
                one.exception, one.frame = finding.exception, finding.frame

    def _settle(self, most: Severity) -> None:
        for event in self._open:
            event.settle(most)
        self._open.clear()
