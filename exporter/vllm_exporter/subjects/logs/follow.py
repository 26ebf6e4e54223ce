"""Finds the lines of one log that mean something, and those that belong to the traceback above them. Pure.

Only the last line of a traceback counts, and what was said before it. The lines of source in it quote messages that
nobody printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from vllm_exporter.facts.events import Severity
from vllm_exporter.subjects.logs.incident import Incident
from vllm_exporter.subjects.logs.lines import LOUD, QUIET, LogLine, uncoloured
from vllm_exporter.subjects.logs.split import LineSplitter
from vllm_exporter.subjects.logs.table import Pattern
from vllm_exporter.subjects.logs.tracebacks import (
    BESIDE,
    BY_RAY,
    CAUGHT,
    CHAINED,
    TRACEBACK,
    EndedTrace,
    OpenTrace,
    exception_type,
    frame_name,
    is_field,
    is_flat,
    lone_exception,
    ungrouped,
)

MAX_TRACES = 512  # open at once; vLLM has one process per GPU and a few more
MAX_TRACE_LINES = 2000  # afterwards the traceback counts as ended: its end was lost
FEW = 3  # lines from which on a search in all of them together pays
USERS_WORDS = (b"(bad request): ", b"prompt: ", b"Pattern: ")  # followed by text that users sent
TRIGGER = "shutdown.trigger"
SERVICE = "stats.line"  # a class of lines that only a serving server writes

OTHER = "other.exception"  # the class of an end of a traceback that no class knows
Expected = tuple[tuple[bytes, Pattern], ...]  # a pattern and its needle

TraceKey = tuple[bytes, bytes]  # who wrote it, and from which place of the source it was logged; b'' on stderr


@dataclass(frozen=True, slots=True)
class LineFinding:
    """A line that means something."""

    name: str  # of the class, judged in its context
    severity: Severity
    line: LogLine
    excerpt: bytes  # the text that the pattern spans; not redacted yet
    state: str = ""  # of the lifecycle
    exception: str = ""  # its type, when it ends a traceback
    frame: str = ""  # 'core.py:run_busy_loop', the last one of the traceback
    wrapper: bool = False
    at: float = 0.0  # seconds of the clock by which it was judged


class Follower:
    """Follows one log. `incident` is the server's, which may have several logs.

    `unknown` is called with each line of an error that no class knows and that is no part of a traceback. `clock`
    returns when a line was written, in seconds of any clock; without one all lines of a reading are of one time.
    """

    def __init__(
        self,
        patterns: tuple[Pattern, ...],
        incident: Incident,
        unknown: Callable[[LogLine], None] | None = None,
        clock: Callable[[LogLine], float] | None = None,
    ) -> None:
        self._patterns: Expected = tuple((pattern.needle, pattern) for pattern in patterns)
        self._quiet: Expected = tuple(one for one in self._patterns if one[1].kind.quiet)
        self._expected = self._patterns, self._quiet  # in lines of all levels, and in those of INFO and DEBUG
        self._incident = incident
        self._unknown = unknown
        self._clock = clock
        self._splitter = LineSplitter()
        self._traces: dict[TraceKey, OpenTrace] = {}
        self._ended: dict[TraceKey, EndedTrace] = {}
        self._harmless: set[bytes] = set()  # streams that announced a traceback which ends no process
        self._found: list[tuple[int, LineFinding]] = []

    def feed_all(self, raws: Sequence[bytes], at: float) -> Iterator[tuple[int, LineFinding]]:
        """Returns the index of each line that means something, and its finding; most lines mean nothing.

        `at`: seconds of any clock, the same for all logs of a server. Searching each needle once in all of the lines
        costs a third of searching each line, and lines of INFO, as most are, can have few of them.
        """
        kept = [(index, raw) for index, raw in enumerate(raws) if not (raw.startswith(b"INFO:") and b' - "' in raw)]
        if len(kept) < len(raws):
            self._incident.saw_service()
        lines = self._split(kept)
        if len(lines) >= FEW:
            # A dying engine prints the same traceback for each request.
            loud = b"\n".join(dict.fromkeys([line.body for _, line in lines if line.level not in QUIET]))
            quiet = b"\n".join([line.body for _, line in lines if line.level in QUIET])
            self._expected = (
                tuple([one for one in self._patterns if one[0] in loud]),
                tuple([one for one in self._quiet if one[0] in quiet]),
            )
        for index, line in lines:
            self._one(index, line, at if self._clock is None else self._clock(line))
        for key in list(self._ended):
            self._close(key)
        self._expected = self._patterns, self._quiet
        found, self._found = self._found, []
        return iter(sorted(found, key=itemgetter(0)))  # a traceback's end may have waited for what follows it

    def _split(self, kept: Sequence[tuple[int, bytes]]) -> list[tuple[int, LogLine]]:
        """Returns the lines by the index of the raw one. Looking for colours in all of them at once costs less."""
        if not kept:
            return []
        plain = uncoloured(b"\n".join([raw for _, raw in kept])).split(b"\n")
        numbered, split = zip(kept, plain, [*plain[1:], b""], strict=True), self._splitter.split
        return [(index, line) for (index, _), raw, following in numbered for line in split(raw, following)]

    def _one(self, index: int, line: LogLine, at: float) -> None:
        key = line.stream, line.place
        trace = self._traces.get(key)
        if trace is not None:
            self._inside(index, key, trace, line, at)
        elif self._ended and key in self._ended and self._belongs(index, key, line, at):
            return
        elif TRACEBACK in line.body:
            before = line.body.partition(TRACEBACK)[0]
            self._judge(index, line._replace(body=before), at)
            self._open(key, line).indent = b"" if before.strip(b" ") else before
        elif line.body.startswith(b'  File "') and b", in " in line.body:  # its beginning was lost
            self._inside(index, key, self._open(key, line), line, at)
        elif (not line.level or line.level in LOUD) and lone_exception(line.body):  # the traceback above it was lost
            self._end(index, key, OpenTrace(bool(line.process) and not line.level), line, at)
        elif line.body[:2] != b"  " or not line.quiet:  # else the rest of a message, such as a user's grammar
            self._judge(index, line, at)

    def _inside(self, index: int, key: TraceKey, trace: OpenTrace, line: LogLine, at: float) -> None:
        trace.lines += 1
        body = ungrouped(line.body.removeprefix(trace.indent))
        if (
            body[:1] in (b" ", b"\t", b"\r", b"", b"+")
            or body.startswith((*CHAINED, TRACEBACK))
            or is_flat(trace, body)
        ):
            if body.lstrip().startswith(b'File "'):
                trace.frame = body
            if trace.lines > MAX_TRACE_LINES:
                del self._traces[key]
        elif body.startswith((*BESIDE, BY_RAY)):
            self._judge(index, line, at)
        else:
            del self._traces[key]
            self._end(index, key, trace, line._replace(body=body), at)

    def _open(self, key: TraceKey, line: LogLine) -> OpenTrace:
        if len(self._traces) >= MAX_TRACES:
            del self._traces[next(iter(self._traces))]
        self._traces[key] = trace = OpenTrace(not line.level and line.stream not in self._harmless)
        self._harmless.discard(line.stream)
        return trace

    def _end(self, index: int, key: TraceKey, trace: OpenTrace, line: LogLine, at: float) -> None:
        """Judges the last line of a traceback; one that no class knows when it is known what follows."""
        exception = exception_type(line.body)
        if not exception:
            self._judge(index, line, at)
            return
        ended = EndedTrace(line, exception, frame_name(trace.frame), trace.uncaught, at)
        if not self._judge(index, line, at, ended):
            ended.untold, ended.starting = index, self._incident.ready is False
            if ended.may_end_process():  # what follows may be the next start
                ended.severity = self._incident.judge_end("info", at, ended.uncaught)
        self._ended[key] = ended

    def _belongs(self, index: int, key: TraceKey, line: LogLine, at: float) -> bool:
        """True if the line belongs to a traceback that has ended: to its message, or to the chain of exceptions."""
        ended = self._ended[key]
        if line.body.startswith(CHAINED) or (line.body[:1] == b" " and TRACEBACK in line.body):  # of a group's member
            self._close(key, caught=True)
            self._traces[key] = OpenTrace(ended.uncaught)
            return True
        same = bool(line.stamp) and (line.stamp, line.level) == (ended.line.stamp, ended.line.level)
        named = ended.exception.endswith("ValidationError") and is_field(line.body)
        if line.body.strip() and not line.body.startswith((b" ", b"\t")) and not same and not named:
            self._close(key)
            return False
        if self._judge(index, line, at, ended):
            ended.untold = None
        return True

    def _close(self, key: TraceKey, caught: bool = False) -> None:
        """Tells of an ended traceback that no class knows. `caught`: another exception came of it."""
        ended = self._ended.pop(key)
        if ended.untold is None:
            return
        severity = "info" if caught else ended.severity
        excerpt = ended.line.body if severity != "info" or ended.starting else b""  # later it may quote users
        told = LineFinding(
            OTHER, severity, ended.line, excerpt, exception=ended.exception, frame=ended.frame, at=ended.at
        )
        self._found.append((ended.untold, told))

    def _judge(self, index: int, line: LogLine, at: float, trace: EndedTrace | None = None) -> bool:
        """True if a class is found. `trace`: the traceback that the line ends."""
        if not line.level:
            self._note_printed(line)
        found = self._find(line)
        if found is not None:
            self._tell(index, line, at, found, trace)
        elif trace is None and self._unknown is not None and is_error(line):
            self._unknown(line)
        return found is not None

    def _note_printed(self, line: LogLine) -> None:
        """Notes what a line that was not logged says of a traceback that may follow, and of the server."""
        if line.body.startswith(b"INFO:") and b' - "' in line.body:  # uvicorn's about a request
            self._incident.saw_service()
        elif any(words in line.body for words in CAUGHT):
            if len(self._harmless) >= MAX_TRACES:
                self._harmless.clear()
            self._harmless.add(line.stream)

    def _tell(
        self, index: int, line: LogLine, at: float, found: tuple[Pattern, tuple[int, int]], trace: EndedTrace | None
    ) -> None:
        """Judges a line of a class in its context. `trace`: the traceback that it ends."""
        pattern, (start, end) = found
        name, severity = self._incident.judge(pattern.kind, at)
        if trace is not None and trace.may_end_process() and not pattern.kind.wrapper:
            severity = self._incident.judge_end(severity, at, False)
        state = pattern.state if name == pattern.kind.name else ""
        self._incident.saw(state, name == TRIGGER)
        if name == SERVICE:
            self._incident.saw_service()
        exception, frame = (trace.exception, trace.frame) if trace is not None else (lone_exception(line.body), "")
        told = LineFinding(
            name, severity, line, line.body[start:end], state, exception, frame, pattern.kind.wrapper, at
        )
        self._found.append((index, told))

    def _find(self, line: LogLine) -> tuple[Pattern, tuple[int, int]] | None:
        body = line.body
        for needle, pattern in self._expected[line.quiet]:
            if needle in body and not (pattern.kernel and line.place):  # what vLLM's source logged is no kernel's line
                span = pattern.span(body)
                if span is not None and not _quoted(body, span[0]):
                    return pattern, span
        return None


def is_error(line: LogLine) -> bool:
    """True if it was logged as an error, and is no rest of a longer message."""
    loud = line.level in LOUD or line.body.startswith(b"ERROR:  ")  # uvicorn's
    return loud and line.body[:1] not in b" \t"  # b"" is in it too


def _quoted(body: bytes, start: int) -> bool:
    """True if users' words may begin before `start`: after a quotation mark, or a text that vLLM puts before them."""
    before = body[:start]
    if b'"' in before or b"`" in before or any(words in before for words in USERS_WORDS):
        return True
    at = before.find(b"'")
    while at >= 0:
        if not before[at - 1 : at].isalpha():  # not the apostrophe of "model's"
            return True
        at = before.find(b"'", at + 1)
    return False
