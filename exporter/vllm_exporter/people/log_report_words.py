"""Words the report on a log for people."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_exporter.people.hang_report import wrap
from vllm_exporter.people.log_report import LogReport
from vllm_exporter.people.log_report_events import LogEvent
from vllm_exporter.people.log_report_starts import LogStart
from vllm_exporter.subjects.logs.redact import redact
from vllm_exporter.subjects.logs.table import SEVERITIES

SHOWN_STARTS = 5  # the newest; --json has all
SHOWN_EVENTS = 40  # the worst; --json has all


def as_lines(found: LogReport) -> Iterator[str]:
    """Yields the report, at most 80 columns wide. Nothing of the log can give orders to a terminal."""
    for line in _lines(found):
        yield "".join(character if character.isprintable() else " " for character in line)


def _lines(found: LogReport) -> Iterator[str]:
    yield from wrap(summary(found), "")
    if len(found.starts) > SHOWN_STARTS:
        yield from ("", f"{len(found.starts) - SHOWN_STARTS} earlier starts are not shown; --json has them.")
    for start in found.starts[-SHOWN_STARTS:]:
        yield from start_lines(start)
    faults = [event for event in found.events if event.severity != "info"]
    faults.sort(key=lambda event: -SEVERITIES.index(event.severity))  # those of one severity stay in their order
    if faults:
        yield from ("", "What is wrong, the worst first")
    for event in faults[:SHOWN_EVENTS]:
        yield from event_lines(event)
    if len(faults) > SHOWN_EVENTS:
        yield f"  … and {len(faults) - SHOWN_EVENTS} more; --json has them."
    yield from calm_lines(found)
    if found.not_understood:
        yield from ("", f"Errors that no class knows: {count_of(found.not_understood, 'line')}, such as")
        for sample in found.samples:
            yield from wrap(sample, "  ")


def summary(found: LogReport) -> str:
    """Returns what the log says in two sentences or three."""
    starts = [start for start in found.starts if start.steps]
    ready = sum(start.ready for start in starts)
    said = f"{found.name}: {count_of(found.lines, 'line')}"
    if len(starts) == 1:
        said += f", one start, which {'became' if ready else 'did not become'} ready"
    elif starts:
        said += f", {len(starts)} starts, of which {ready or 'none'} became ready"
    first = next((event for event in found.events if event.severity in ("error", "critical")), None)
    said += f". It began with {first.name}{by(first)}." if first is not None else ". No error that a class knows."
    if not found.lines:
        said = f"{found.name}: there is no line in it."
    elif not found.events:
        said += " No line of vLLM, its libraries or the kernel was recognised."
    return f"{said} It could not be read to its end: {found.problem}." if found.problem else said


def start_lines(start: LogStart) -> Iterator[str]:
    yield ""
    if start.steps:
        last = start.steps[-1][0]
        yield f"Start{at(start.steps[0][1])}: " + ("ready" if start.ready else f"not ready, it came as far as {last}")
    else:
        yield "A server that had started before"
    for state, moment in (*start.steps, *start.later):
        yield f"  {moment or '':<19}  {state}".rstrip()


def event_lines(event: LogEvent) -> Iterator[str]:
    times = "" if event.count == 1 else f", {event.count} times"
    until = f" until {event.last}" if event.last != event.first else ""
    yield from wrap(f"{event.severity}: {event.name}{by(event)}{times}{at(event.first)}{until}", "  ")
    if event.summary:
        yield from wrap(event.summary, "    ")
    if event.exception and not event.summary.startswith(event.exception):
        yield from wrap(event.message or event.exception, "    ")
    if event.frame:
        yield from wrap(f"raised in {event.frame}", "    ")
    if event.do:
        yield from wrap(f"What to do: {event.do}", "    ")


def calm_lines(found: LogReport) -> Iterator[str]:
    """Yields the classes that are no fault, with their numbers of lines."""
    counts: dict[str, int] = {}
    for event in found.events:
        if event.severity == "info":
            counts[event.name] = counts.get(event.name, 0) + event.count
    if counts:
        yield ""
        yield from wrap("Also seen: " + ", ".join(f"{name} {count}" for name, count in counts.items()), "")


def by(event: LogEvent) -> str:
    """Returns ' by Worker_TP0 (pid 7)'; '' when the log does not say who wrote it."""
    who = redact(event.process.encode())
    if event.rank and event.rank not in who:
        who = f"{who} rank {event.rank}".strip()
    pid = f"pid {event.pid}" if event.pid is not None else ""
    who = f"{who} ({pid})" if who and pid else who or pid
    return f" by {who}" if who else ""


def at(moment: str | None) -> str:
    return f" at {moment}" if moment else ""


def count_of(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
