"""Finds the lines of one log that mean something, and those that belong to the traceback above them. Pure.

Only the last line of a traceback counts. The lines of source in it quote messages that nobody printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from vllm_exporter.facts.events import Severity
from vllm_exporter.subjects.logs.incident import Incident
from vllm_exporter.subjects.logs.lines import LogLine, split_lines
from vllm_exporter.subjects.logs.table import LogClass, Pattern

TRACEBACK = b"Traceback (most recent call last):"
CHAINED = (b"During handling of the above", b"The above exception was", TRACEBACK)
BESIDE = (b"INFO:", b"WARNING:", b"DEBUG:")  # uvicorn's, which can come between the lines of a traceback on stderr
MAX_TRACES = 64  # open at once; vLLM has one process per GPU and a few more
MAX_TRACE_LINES = 2000  # afterwards the traceback counts as ended: its end was lost
FEW = 3  # lines from which on a search in all of them together pays
USERS_WORDS = (b"(bad request): ", b"prompt: ", b"Pattern: ")  # followed by text that users sent
TRIGGER = "shutdown.trigger"

OTHER = LogClass("other.exception", "info", "info", False)  # the end of a traceback that no class knows
_ANY = Pattern(OTHER, (b"",), b"")
Expected = tuple[tuple[bytes, Pattern], ...]  # a pattern and its needle


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


@dataclass(slots=True)
class _Trace:
    """A traceback that has not ended."""

    lines: int = 0
    frame: bytes = field(default=b"")


class Follower:
    """Follows one log. `incident` is the server's, which may have several logs."""

    def __init__(self, patterns: tuple[Pattern, ...], incident: Incident) -> None:
        self._patterns: Expected = tuple((pattern.needle, pattern) for pattern in patterns)
        self._quiet: Expected = tuple(one for one in self._patterns if one[1].kind.quiet)
        self._expected = self._patterns, self._quiet  # in lines of all levels, and in those of INFO and DEBUG
        self._incident = incident
        self._traces: dict[bytes, _Trace] = {}  # by process

    def feed_all(self, raws: Sequence[bytes], at: float) -> Iterator[tuple[int, LineFinding]]:
        """Yields the index of each line that means something, and its finding; most lines mean nothing.

        `at`: seconds of any clock, the same for all logs of a server. Searching each needle once in all of the lines
        costs a third of searching each line, and lines of INFO, as most are, can have few of them.
        """
        kept = [
            (index, line)
            for index, raw in enumerate(raws)
            if not (raw.startswith(b"INFO:") and b' - "' in raw)
            for line in split_lines(raw)
        ]
        if len(kept) >= FEW:
            loud = b"\n".join(line.body for _, line in kept if not line.quiet)
            quiet = b"\n".join(line.body for _, line in kept if line.quiet)
            self._expected = (
                tuple(one for one in self._patterns if one[0] in loud),
                tuple(one for one in self._quiet if one[0] in quiet),
            )
        for index, line in kept:
            finding = self._one(line, at)
            if finding is not None:
                yield index, finding
        self._expected = self._patterns, self._quiet

    def _one(self, line: LogLine, at: float) -> LineFinding | None:
        trace = self._traces.get(line.process)
        if trace is not None:
            return self._inside(trace, line, at)
        before, opens, _ = line.body.partition(TRACEBACK)
        if opens:
            self._open(line)
            return self._judge(replace(line, body=before), at, "", "") if before else None
        if line.body[:2] == b"  " and line.quiet:
            return None  # the rest of a message of several lines, such as a user's grammar
        return self._judge(line, at, "", "")

    def _inside(self, trace: _Trace, line: LogLine, at: float) -> LineFinding | None:
        trace.lines += 1
        body = _ungrouped(line.body)
        if body[:1] in (b" ", b"\t", b"\r", b"", b"+") or body.startswith(CHAINED):
            if body.lstrip().startswith(b'File "'):
                trace.frame = body
            if trace.lines > MAX_TRACE_LINES:
                del self._traces[line.process]
            return None
        if body.startswith(BESIDE):
            return self._judge(line, at, "", "")
        del self._traces[line.process]
        return self._judge(line, at, exception_type(body), frame_name(trace.frame))

    def _open(self, line: LogLine) -> None:
        if len(self._traces) >= MAX_TRACES:
            del self._traces[next(iter(self._traces))]
        self._traces[line.process] = _Trace()

    def _judge(self, line: LogLine, at: float, exception: str, frame: str) -> LineFinding | None:
        found = self._find(line)
        if found is None:
            if not exception:
                return None
            found = _ANY, (0, 0)
        pattern, (start, end) = found
        name, severity = self._incident.judge(pattern.kind, at)
        state = pattern.state if name == pattern.kind.name else ""
        self._incident.saw(state, name == TRIGGER)
        excerpt = line.body[start:end]
        return LineFinding(name, severity, line, excerpt, state, exception, frame, pattern.kind.wrapper)

    def _find(self, line: LogLine) -> tuple[Pattern, tuple[int, int]] | None:
        body = line.body
        for needle, pattern in self._expected[line.quiet]:
            if needle in body:
                span = pattern.span(body)
                if span is not None and not _quoted(body, span[0]):
                    return pattern, span
        return None


def exception_type(line: bytes) -> str:
    """Returns 'ValueError' of 'ValueError: …', with its module; '' when the line is no end of a traceback."""
    name = line.partition(b":")[0].strip()
    plain = name.replace(b".", b"").replace(b"_", b"")
    return name.decode() if 0 < len(name) <= 120 and plain.isalnum() and name.isascii() else ""


def frame_name(frame: bytes) -> str:
    """Returns 'core.py:run_busy_loop' of '  File "/…/core.py", line 1512, in run_busy_loop'."""
    path, _, rest = frame.strip().removeprefix(b'File "').partition(b'"')
    file = path.rpartition(b"/")[2]
    function = rest.rpartition(b" in ")[2].strip()
    return f"{file.decode('utf-8', 'replace')}:{function.decode('utf-8', 'replace')}"[:120] if file else ""


def _ungrouped(body: bytes) -> bytes:
    """Returns a line of an exception group's traceback without the bars in front."""
    text = body.lstrip(b" ")
    return text[1:].removeprefix(b" ") if text[:1] == b"|" else body


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
