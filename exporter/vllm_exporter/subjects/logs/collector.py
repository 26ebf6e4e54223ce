"""Logs of vLLM servers: what their lines mean, counted by class, and the steps of a start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vllm_exporter.config.config import Config, find_server
from vllm_exporter.config.named_paths import NamedPath
from vllm_exporter.errors import ConfigError, NoData
from vllm_exporter.facts.events import LineNoticed
from vllm_exporter.facts.facts import Sights
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Row
from vllm_exporter.run.collector import Collector, Context, check_option, read_options
from vllm_exporter.state import Content, StateFile
from vllm_exporter.subjects.logs import families as names
from vllm_exporter.subjects.logs.class_counts import ClassCounts, EventThrottle
from vllm_exporter.subjects.logs.classes import read_classes
from vllm_exporter.subjects.logs.docker import SOCKET, LogDocker
from vllm_exporter.subjects.logs.fair_share import FairShare
from vllm_exporter.subjects.logs.file import LogFile
from vllm_exporter.subjects.logs.follow import OTHER, Follower
from vllm_exporter.subjects.logs.incident import Incident
from vllm_exporter.subjects.logs.journal import LogJournal
from vllm_exporter.subjects.logs.lines import parse_process
from vllm_exporter.subjects.logs.places import LogPlace, parse_place
from vllm_exporter.subjects.logs.reader import DatedFinding, LogReader
from vllm_exporter.subjects.logs.redact import redact
from vllm_exporter.subjects.logs.source import LogSource, Position
from vllm_exporter.subjects.logs.table import LogClass, kinds

UNKNOWN = LogClass(OTHER, "error", "error", False)  # where it ends a start


@dataclass(frozen=True)
class LogOptions:
    """The logs to read."""

    sources: tuple[str, ...] = ()  # SERVER=PATH, SERVER=journald:UNIT, SERVER=docker:CONTAINER; no SERVER: the host's
    docker_socket: str = SOCKET


class LogsCollector(Collector):
    """Reads all logs in turn, for at most 0.8 s of each second. Reading a line and judging it takes 10 µs."""

    metrics = (
        names.LOG_EVENTS_TOTAL,
        names.LOG_EVENT_LAST_TIMESTAMP_SECONDS,
        names.LOG_READABLE,
        names.LOG_LINES_TOTAL,
        names.LOG_LAST_LINE_TIMESTAMP_SECONDS,
        names.LOG_CUT_LINES_TOTAL,
        names.LOG_SKIPPED_BYTES_TOTAL,
        names.LOG_UNREAD_BYTES,
    )
    interval = 1.0
    options = LogOptions

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options("logs", LogOptions)
        self._places = parse_places(options.sources, context.config)
        self._file = StateFile(context.config.state_dir, "logs", "the place in each log")
        positions = (self._file.load(parse_positions) or {}) if self._places else {}
        patterns = read_classes() if self._places else ()
        incidents = {place.server: Incident() for place in self._places}
        self._sources = {
            place: self._source(place, options, positions.get(position_key(place), {})) for place in self._places
        }
        self._readers = {
            place: LogReader(source, Follower(patterns, incidents[place.server]), context.clock)
            for place, source in self._sources.items()
        }
        self._share = FairShare(self._readers, context.clock)
        self._counts = ClassCounts(incidents, (*kinds(patterns).values(), UNKNOWN))
        self._throttle = EventThrottle()

    @classmethod
    def check(cls, config: Config, name: str) -> None:
        read_options(config, name, LogOptions)
        places: list[LogPlace] = []
        check_option(config, name, "sources", lambda text: add_place(places, text, config))

    @classmethod
    def paths(cls, config: Config, name: str) -> Iterator[NamedPath]:
        """Yields files and sockets. A log that is not there is read as soon as it appears."""
        options = read_options(config, name, LogOptions)
        for place in parse_places(options.sources, config):
            if place.kind == "file":
                fix = "it is read from its start once it is there; correct the path if the server's log is elsewhere"
                yield NamedPath("collectors.logs.sources", place.name, fix, absent="comes_later")
            elif place.kind == "docker":
                key, fix = "collectors.logs.docker_socket", "start Docker, or correct the path"
                yield NamedPath(key, options.docker_socket, fix, "socket", "comes_later")

    def collect(self) -> Iterator[Row]:
        if not self._places:
            raise NoData("no log is configured; add sources to collectors: {logs: …} in exporter.yml")
        for place, reader in self._share.take():
            problem = reader.counts.problem
            for told in reader.read():
                self._note(place.server, told)
            self._tell_problem(place, problem, reader.counts.problem)
        if self._file.due(self.context.clock.monotonic()):
            self._keep_positions()
        yield from self._rows()

    def close(self) -> None:
        if self._places:
            self._keep_positions()
        for reader in self._readers.values():
            reader.close()

    def _note(self, server: str, told: DatedFinding) -> None:
        """Counts a line, and emits an event if it shows a new state, or an event of its class is due."""
        finding = told.finding
        self._counts.add(server, finding.name, finding.severity, told.at)
        line = finding.line
        news = finding.state and self._throttle.new_state(server, line.process, line.pid, finding.state)
        untold = 0
        if finding.severity != "info":
            due = self._throttle.due(server, finding.name, told.at)
            if due is None and not news:
                return
            untold = due or 0
        elif not news:
            return
        self._emit(server, told, untold)

    def _emit(self, server: str, told: DatedFinding, untold: int) -> None:
        finding = told.finding
        role, _ = parse_process(finding.line.process)
        excerpt = redact(finding.excerpt)
        self.context.bus.emit(
            LineNoticed(
                severity=finding.severity,
                summary=f"{finding.name}: {excerpt or finding.exception}",
                server=server,
                model_name=self._model(server),
                time=told.at,
                class_=finding.name,
                excerpt=excerpt,
                process=finding.line.process.decode("utf-8", "replace"),
                role=role,
                rank=finding.line.rank,
                pid=finding.line.pid,
                wrapper=finding.wrapper,
                untold=untold,
                state=finding.state,
                exception=finding.exception,
                frame=finding.frame,
            )
        )

    def _model(self, server: str) -> str:
        sights = self.context.board.latest(Sights)
        return sights.servers[server].model_name if sights is not None and server in sights.servers else ""

    def _rows(self) -> Iterator[Row]:
        for key, count in self._counts.counts.items():
            yield (names.LOG_EVENTS_TOTAL, key), count
        for labels, at in self._counts.last.items():
            yield (names.LOG_EVENT_LAST_TIMESTAMP_SECONDS, labels), at
        for place, reader in self._readers.items():
            counts, of = reader.counts, (place.server, place.label)
            yield (names.LOG_READABLE, of), counts.readable
            yield (names.LOG_LINES_TOTAL, of), counts.lines
            yield (names.LOG_CUT_LINES_TOTAL, of), counts.cut
            yield (names.LOG_SKIPPED_BYTES_TOTAL, of), counts.skipped
            yield (names.LOG_UNREAD_BYTES, of), counts.unread
            if counts.last is not None:
                yield (names.LOG_LAST_LINE_TIMESTAMP_SECONDS, of), counts.last

    def _source(self, place: LogPlace, options: LogOptions, position: Position) -> LogSource:
        if place.kind == "journald":
            return LogJournal(place.name, position, self.context.clock)
        if place.kind == "docker":
            return LogDocker(place.name, position, self.context.clock, options.docker_socket)
        return LogFile(Path(place.name), position)

    def _keep_positions(self) -> None:
        positions = {position_key(place): dict(source.position()) for place, source in self._sources.items()}
        self._file.save({"positions": positions})

    def _tell_problem(self, place: LogPlace, before: str, now: str) -> None:
        """Logs one line when a log becomes unreadable, and when it can be read again."""
        if now and now != before:
            log("warning", "log cannot be read", server=place.server, source=place.label, reason=now)
        elif before and not now:
            log("info", "log can be read again", server=place.server, source=place.label)


def parse_places(sources: tuple[str, ...], config: Config) -> tuple[LogPlace, ...]:
    """Returns the logs of the option `sources`, servers named as in labels. Raises ConfigError naming the entry."""
    places: list[LogPlace] = []
    for text in sources:
        add_place(places, text, config)
    return tuple(places)


def add_place(places: list[LogPlace], text: str, config: Config) -> None:
    """Adds one entry of the option `sources`. Raises ConfigError naming it."""
    try:
        place = parse_place(text)
    except ValueError as error:
        raise ConfigError(f"collectors.logs.sources: {error}") from None
    if place.server:  # else it is a log of the host
        place = replace(place, server=find_server(place.server, config.targets, f"collectors.logs.sources: {text!r}"))
    if place in places:
        raise ConfigError(f"collectors.logs.sources: {place.label} of {place.server!r} is there twice; keep one")
    places.append(place)


def position_key(place: LogPlace) -> str:
    return f"{place.server} {place.label}"


def parse_positions(content: Content) -> dict[str, Position]:
    """Returns the position of each log. Raises LookupError and AttributeError for any other content."""
    return {
        str(name): {str(key): value for key, value in position.items() if isinstance(value, str | int)}
        for name, position in content["positions"].items()
    }
