"""`vllm-exporter log-report`: what a log says, without a running exporter: starts, states, faults, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vllm_exporter.people.log_report_events import LogEvent, LogEvents
from vllm_exporter.people.log_report_input import LogInput
from vllm_exporter.people.log_report_starts import LogStart
from vllm_exporter.people.log_report_times import LogTimes
from vllm_exporter.subjects.logs.classes import read_classes
from vllm_exporter.subjects.logs.follow import Follower
from vllm_exporter.subjects.logs.incident import Incident
from vllm_exporter.subjects.logs.table import kinds


@dataclass(frozen=True)
class LogReport:
    """The contents of one log. Events are in the order of their first line."""

    name: str
    lines: int
    starts: tuple[LogStart, ...]
    events: tuple[LogEvent, ...]
    not_understood: int  # lines of errors that no class knows
    samples: tuple[str, ...]  # some of them, redacted
    problem: str = ""  # why it was not read to its end


def report(name: str) -> LogReport:
    """Reads a whole log; `-` is standard input. Raises SourceError when nothing of it can be read."""
    source = LogInput(name)
    patterns = read_classes(examples=True)
    times, incident, lines = LogTimes(source.latest), Incident(), 0
    found = LogEvents(kinds(patterns), times)
    follower = Follower(patterns, incident, found.note_unknown, times.read)
    for batch in source.batches():
        lines += len(batch)
        for _, finding in follower.feed_all(batch, 0.0):
            found.note(finding)
    found.finish(incident.ready is True or incident.planned)
    starts = tuple(start for start in found.starts.all if start.steps or start.later)
    events = tuple(found.events.values())
    return LogReport(source.name, lines, starts, events, found.not_understood, tuple(found.samples), source.problem)


def as_facts(found: LogReport) -> dict[str, Any]:
    """Returns the report as plain data, for --json."""
    return {
        "events": [
            {
                "class": event.name,
                "severity": event.severity,
                "summary": event.summary,
                "process": event.process,
                "pid": event.pid,
                "rank": event.rank,
                "count": event.count,
                "first": event.first,
                "last": event.last,
                "exception": event.exception,
                "frame": event.frame,
            }
            for event in found.events
        ],
        "starts": [
            {"steps": [state for state, _ in start.steps], "ready": start.ready}
            for start in found.starts
            if start.steps
        ],
        "not_understood": found.not_understood,
    }
