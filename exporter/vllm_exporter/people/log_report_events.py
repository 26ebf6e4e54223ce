"""Gathers what a log says: events by class and process, and how bad they are in the end. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_exporter.facts.events import Severity
from vllm_exporter.people.log_report_starts import EventKey, LogStart, LogStarts
from vllm_exporter.people.log_report_times import LogTimes
from vllm_exporter.subjects.logs.follow import OTHER, LineFinding
from vllm_exporter.subjects.logs.lines import LOUD, LogLine
from vllm_exporter.subjects.logs.redact import redact
from vllm_exporter.subjects.logs.table import SEVERITIES, LogClass

MAX_EVENTS = 2000  # of class and process; what comes after counts without its process
SAMPLES = 5
MAX_ANNOUNCED = 64  # records whose traceback may follow
OF_HOST = ("gpu.", "host.")  # classes that are true of the host, whether a start succeeds or not


@dataclass
class LogEvent:
    """The lines of one class that one process wrote."""

    name: str
    process: str
    pid: int | None
    rank: str | None
    do: str
    severity: Severity = "info"
    worst: Severity = "info"  # before a start took it back
    summary: str = ""
    count: int = 0
    first: str | None = None
    last: str | None = None
    exception: str = ""
    frame: str = ""
    message: str = ""  # of the exception, if no class knows it; redacted

    @property
    def key(self) -> EventKey:
        return self.name, self.process, self.pid, self.rank


class LogEvents:
    """Takes findings in the order of the log."""

    def __init__(self, kinds: dict[str, LogClass], times: LogTimes) -> None:
        self.events: dict[EventKey, LogEvent] = {}
        self.starts = LogStarts()
        self.not_understood = 0
        self.samples: list[str] = []
        self._kinds = kinds
        self._times = times
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
            settled = self.starts.note(finding.line, finding.state, finding.at, at)
            if settled is not None:
                self._settle(*settled)
        event = self._event(finding)
        event.count += 1
        event.first, event.last = event.first if event.count > 1 else at, at
        self._judge(event, finding)
        self._note_exception(event, finding)

    def finish(self, fine: bool) -> None:
        """Closes the starts. `fine`: the server served in the end, or somebody asked for the end."""
        for start in self.starts.all:
            self._settle(start, "critical")
        calm = all(event.severity in ("info", "warning") for event in self.events.values())
        if calm and self._last_unknown is not None and not fine:
            self._last_unknown.severity = "error"  # the last that is known of it

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
        severity, start = finding.severity, self.starts.of(finding.line)
        if not event.summary or SEVERITIES.index(severity) > SEVERITIES.index(event.worst):
            starting = start is not None and not start.ready and severity != "info"  # no user can have written it
            event.summary = redact(finding.line.body if starting else finding.excerpt) or finding.exception
        event.worst = worse(event.worst, severity)
        if finding.name == OTHER:
            lone = not finding.line.level and not finding.frame  # the lines above it are not in the log
            self._last_unknown = event if lone or finding.line.level in LOUD else None
        if severity in ("error", "critical") and start is not None:
            start.failing = True
            if finding.name == "port.inuse" and start.ready and not start.later:
                start.ready = False  # uvicorn starts the application first and takes its port afterwards
        if start is None or start.ready or finding.name.startswith(OF_HOST):
            event.severity = worse(event.severity, severity)
        else:
            start.open[event.key] = worse(start.open.get(event.key, "info"), severity)

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
                one.message = redact(finding.excerpt) if finding.name == OTHER else ""

    def _settle(self, start: LogStart, most: Severity) -> None:
        """Closes a start in which lines were judged: they are at most that bad."""
        for key, severity in start.open.items():
            event = self.events[key]
            event.severity = worse(event.severity, min(severity, most, key=SEVERITIES.index))
        start.open.clear()


def worse(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=SEVERITIES.index)
