"""Events of all collectors, as JSON lines in a file of limited size and, if configured, in Loki."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.config.config import Config
from vllm_exporter.config.named_paths import PUT_CERTIFICATE, WRITE_KEY, NamedPath
from vllm_exporter.facts.events import Event
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Sample
from vllm_exporter.run.collector import Collector, Context, read_options
from vllm_exporter.subjects.events import families as names
from vllm_exporter.subjects.events.file import EventFile, format_event
from vllm_exporter.subjects.events.loki import Loki, parse_url, sender

QUEUE = 2000  # events that wait until they are drained, every 2 s


@dataclass(frozen=True)
class EventOptions:
    """The options: the destinations of events."""

    file: str = ""  # '' is events.jsonl in the state directory
    max_bytes: int = 10_000_000  # of the file; a full file is renamed with a number
    keep: int = 4  # numbered files: with the current one 50 MB, about 100,000 events
    loki_url: str = ""  # http://loki:3100; '' is no Loki
    loki_tenant: str = ""  # X-Scope-OrgID, where Loki has several
    loki_token_file: str = ""  # sent as bearer token; read at each use
    loki_ca_file: str = ""


class EventsCollector(Collector):
    """Takes all events from the bus. A run without an event costs 3 µs."""

    metrics = (
        names.EVENTS_TOTAL,
        names.EVENTS_WRITTEN_TOTAL,
        names.EVENTS_DROPPED_TOTAL,
        names.EVENT_FILE_BYTES,
        names.LOKI_PUSHES_TOTAL,
        names.LOKI_WAITING_EVENTS,
    )
    interval = 2.0  # as often as most collectors that emit them run
    options = EventOptions

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options("events", EventOptions)
        self._loki = make_loki(options, context)
        self._file = make_file(options, context.config.state_dir)
        self._subscription = context.bus.subscribe(QUEUE)
        self._counts: dict[tuple[str, str], int] = {}
        self._written = 0
        self._lost = 0
        self._problem = ""

    @classmethod
    def check(cls, config: Config, name: str) -> None:
        options = read_options(config, name, EventOptions)
        if options.loki_url:
            parse_url(options.loki_url)

    @classmethod
    def paths(cls, config: Config, name: str) -> Iterator[NamedPath]:
        options = read_options(config, name, EventOptions)
        if options.file:
            yield NamedPath("collectors.events.file", options.file, absent="made")
        if options.loki_url and options.loki_token_file:
            yield NamedPath("collectors.events.loki_token_file", options.loki_token_file, WRITE_KEY, secret=True)
        if options.loki_url and options.loki_ca_file:
            yield NamedPath("collectors.events.loki_ca_file", options.loki_ca_file, PUT_CERTIFICATE)

    def collect(self) -> Iterator[Sample]:
        events = self._subscription.drain()
        for event in events:
            key = (event.kind, event.severity)
            self._counts[key] = self._counts.get(key, 0) + 1
        if events and self._file is not None:
            self._write(self._file, events)
        if self._loki is not None:
            self._loki.offer(events)
            self._loki.push()
        yield from self._samples()

    def close(self) -> None:
        """Writes the last events, and pushes to Loki once more."""
        for _ in self.collect():
            pass
        if self._file is not None:
            self._file.close()

    def _write(self, file: EventFile, events: Sequence[Event]) -> None:
        """Writes the events; each counts by itself as written or as lost."""
        problem = ""
        for event in events:
            try:
                file.write((format_event(event),))
                self._written += 1
            except OSError as error:
                self._lost += 1
                problem = error.strerror or str(error)
        if problem and not self._problem:
            log("error", "events cannot be written", reason=problem)
        self._problem = problem

    def _samples(self) -> Iterator[Sample]:
        for (kind, severity), count in self._counts.items():
            yield names.EVENTS_TOTAL.sample(count, kind=kind, severity=severity)
        yield names.EVENTS_DROPPED_TOTAL.sample(self._subscription.dropped, place="queue")
        if self._file is not None:
            yield names.EVENTS_DROPPED_TOTAL.sample(self._lost, place="file")
            yield names.EVENTS_WRITTEN_TOTAL.sample(self._written)
            yield names.EVENT_FILE_BYTES.sample(self._file.size)
        if self._loki is not None:
            yield names.EVENTS_DROPPED_TOTAL.sample(self._loki.dropped, place="loki")
            yield names.LOKI_WAITING_EVENTS.sample(self._loki.waiting)
            for result, count in self._loki.pushes.items():
                yield names.LOKI_PUSHES_TOTAL.sample(count, result=result)


def make_file(options: EventOptions, state_dir: str) -> EventFile | None:
    """Returns None without a file and a state directory: events are then only counted."""
    if not options.file and not state_dir:
        return None
    path = Path(options.file) if options.file else Path(state_dir) / "events.jsonl"
    return EventFile(path, options.max_bytes, options.keep)


def make_loki(options: EventOptions, context: Context) -> Loki | None:
    """Returns None without an address. Raises ConfigError when it is not one."""
    if not options.loki_url:
        return None
    send = sender(options.loki_url, options.loki_tenant, options.loki_token_file, options.loki_ca_file)
    return Loki(send, context.clock)
