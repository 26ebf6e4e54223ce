"""Finds where vLLM's own line begins, behind whatever others wrote before it.

No list of log shippers is needed. vLLM's lines have beginnings of their own (a process, a level with a date), and so
have tracebacks and uvicorn's lines. What stands before the first of them is somebody else's; without the times in it,
it is the same for each line of that writer. So it is remembered, and is taken off lines that have no such beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vllm_exporter.subjects.logs.lines import (
    HEAD,
    LIMIT,
    PROCESS,
    LogLine,
    parse_own,
    process_of,
    uncoloured,
    unrepeated,
)
from vllm_exporter.subjects.logs.records import LogRecord, parse_logfmt, parse_record

MAX_BEFORE = 300  # bytes before a line; a pod's name has 253 at most
MAX_KNOWN = 64  # writers that are remembered: one for each rank and container
DEPTH = 4  # times that something is taken off: a shipper's, Ray's, torch's, vLLM's
NEAR = 48  # bytes between process and level: VLLM_LOGGING_PREFIX
MAX_UNFINISHED = 1000  # writers of cut lines that are remembered
PARTIAL = 16_000  # bytes: Docker's json-file cuts longer lines at 16 KiB, and ends only the last part with a line break

_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# Times as anybody writes them, and what else differs from line to line: a syslog priority, a sequence number.
TIME = re.compile(
    rb"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d)\b)?"
    rb"|(?:[A-Z][a-z]{2} )?" + _MONTH + rb" [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?(?: \d{4}\b)?"
    rb"|\d\d/" + _MONTH + rb"/\d{4}:\d\d:\d\d:\d\d(?: [+-]\d{4})?"
    rb"|\d\d:\d\d:\d\d(?:[.,]\d{1,9})?|\[ {0,7}\d{1,9}\.\d{3,6}\]|\b1\d{9}(?:\.\d{1,9}|\d{3}|\d{6})?\b"
    rb'|<\d{1,3}>|(?<=[iI]d=")\d{1,12}(?=")'
)
# What counts lines: their numbers (cat -n), and TAI64N's labels, which are times that few read.
_COUNTED = re.compile(TIME.pattern + rb"|^ {0,8}\d{1,8}(?=\t)|^@[0-9a-f]{24}(?= )")
# A launcher's rank says who wrote the line; what stands before it is the same for all ranks.
_VARIES = re.compile(
    _COUNTED.pattern + rb"|(?<=\[rank)\d{1,5}(?=\])|(?<=\[default)\d{1,5}(?=\])|(?<=\[)\d{1,5},\d{1,5}(?=\]<)"
)
_ANCHOR = re.compile(
    rb"(?P<process>\([^()]{0,80}pid=\d{1,9}[^()]{0,64}\) |\(raylet[^()]{0,64}\) )"
    rb"|(?P<head>\b(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d)"
    rb'|(?P<json>\{ ?"\w)'
    rb'|Traceback \(most recent call last\):|  File "|\b(?:INFO: {5}|WARNING: {2}|ERROR: {4}|CRITICAL: )(?=\S)'
)
_LOGFMT = re.compile(rb'(?:time|ts|level|lvl|msg)=\S.{0,200}?\b(?:msg|message)="|msg="')
_LEVEL = re.compile(  # of a format that somebody configured; only loud ones count: a shipper calls all lines INFO
    rb"\W{0,3}(?:" + TIME.pattern + rb")\W{1,4}(?:[\w.]{1,60}\W{1,4})?(WARNING|ERROR|CRITICAL)\b"
    rb"|(WARNING|ERROR|CRITICAL):[\w.]{1,60}:"
)
_APART = b" \t|:>=,;"  # an anchor behind anything else, such as a progress bar's `it/s]`, is a line without a break
_CSV = re.compile(
    rb'"?(?:' + TIME.pattern + rb')"?(?:,"?[\w.:/@-]{0,120}"?){0,4},"'
)  # CloudWatch's and others' exports
_CRI = re.compile(rb"\S{20,40} (stdout|stderr) ([FP]) ")  # Kubernetes' files under /var/log/pods


class Before(NamedTuple):
    """The text that others wrote before a line."""

    end: int
    source: bytes  # without times
    written: bytes  # the first time in it
    fused: bool = False  # it is a line of its own


class LineSplitter:
    """Splits the lines of one log into their parts."""

    def __init__(self) -> None:
        self._known: dict[
            bytes, int
        ] = {}  # what others write before lines, without what varies, to the number of varying parts
        self._unfinished: set[bytes] = set()  # writers whose last line goes on in their next one

    def split(self, raw: bytes, following: bytes = b"") -> Sequence[LogLine]:
        """Returns the line without the text around it; several for JSON, in which a traceback is one line.

        `raw` has no colours: see `uncoloured`. `following` is the next line, where it is known.
        """
        own = parse_own(raw[: LIMIT + MAX_BEFORE])
        if own is not None:
            return (own,)
        if raw.endswith(b'"') and (found := _CSV.match(raw)) is not None:
            return self._of_row(raw, found)
        return self._split(raw, raw[: LIMIT + MAX_BEFORE], following)

    def _of_row(self, raw: bytes, found: re.Match[bytes]) -> Sequence[LogLine]:
        """Returns the line in the last field of a row, in which quotation marks are doubled."""
        before = found[0].replace(b'"', b"")
        source, written = TIME.sub(b"", before), first_time(before)
        lines = self.split(raw[found.end() : -1].replace(b'""', b'"'))
        return [line._replace(stream=source + line.stream, written=line.written or written) for line in lines]

    def _split(self, raw: bytes, text: bytes, following: bytes) -> Sequence[LogLine]:
        stream = process = words = written = b""
        pid, at, lines = None, 0, []
        for _ in range(DEPTH):
            while (found := PROCESS.match(text, at)) is not None:  # of several the last one wrote the line
                process, words, pid = process_of(found)
                stream, at = stream + found[0], found.end()
            head = HEAD.match(text, at)
            if head is not None:
                level, stamp, place = head.groups(b"")
                body = unrepeated(text[head.end() :][:LIMIT])
                lines.append(LogLine(body, process, pid, level, stamp, place, words, stream, written))
                return lines
            before = self._before(text, at, bool(process), following)
            if before is None:
                break
            if before.fused:
                lines.append(LogLine(text[at : before.end], process, pid, words=words, stream=stream, written=written))
            elif self._goes_on(before.source, text[at : before.end]):
                return ()
            stream, written, at = stream + before.source, written or before.written, before.end
        record = self._record(raw, text, at)
        if record is not None:
            return [*lines, *self._of_record(record, stream, process, pid)]
        body = unrepeated(text[at:][:LIMIT])
        lines.append(LogLine(body, process, pid, level_of(body), b"", b"", words, stream, written))
        return lines

    def _record(self, raw: bytes, text: bytes, at: int) -> LogRecord | None:
        """Returns the record that begins at `at`, if one does: JSON, or logfmt."""
        if text.startswith(b"{", at):
            return parse_record(raw[at:])
        return parse_logfmt(raw[at : at + 4 * LIMIT]) if _LOGFMT.match(text, at) is not None else None

    def _before(self, text: bytes, at: int, inside: bool, following: bytes) -> Before | None:
        """Returns what stands before the next part of the line; None when nothing does, or nobody can tell.

        `inside`: a process has been found already.
        """
        if text.startswith(b"{", at) or (inside and not self._known and text.startswith(b" ", at)):
            return None
        if not at and text[10:11] == b"T" and (found := _CRI.match(text)) is not None:
            return Before(found.end(), found[1] + b" ", text[: found.start(1) - 1])
        for source, times in self._known.items():
            end = known_end(text, at, source, times)
            if end and times:
                return Before(end, _COUNTED.sub(b"", text[at:end]), first_time(text[at:end]))
            if end:
                return Before(end, source, b"")
        return self._unknown_before(text, at, inside, following)

    def _unknown_before(self, text: bytes, at: int, inside: bool, following: bytes) -> Before | None:
        anchor = _ANCHOR.search(text, at, at + (NEAR if inside else MAX_BEFORE))
        if anchor is None or anchor.start() == at:
            return None
        before, kind = text[at : anchor.start()], anchor.lastgroup
        if not balanced(before) or not (kind or before.strip(b" |+-")):  # the bars of an exception group
            return None
        if kind in ("head", "process") and before[-1:] not in _APART:
            return Before(anchor.start(), b"", b"", True)
        times, source = len(_VARIES.findall(before)), _VARIES.sub(b"", before)
        if kind != "head" and not looks_added(before) and not self._is_shared(text, anchor, source, times, following):
            return None
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[source] = times
        return Before(anchor.start(), _COUNTED.sub(b"", before), first_time(before))

    def _is_shared(self, text: bytes, anchor: re.Match[bytes], source: bytes, times: int, following: bytes) -> bool:
        """True if the text before a process or a traceback begins no sentence: a level or another process follows, or
        the next line begins with it too."""
        behind = anchor.end()
        if anchor.lastgroup == "process" and (HEAD.match(text, behind) or PROCESS.match(text, behind)):
            return True
        end = known_end(following, 0, source, times) if following else 0
        return end > 0 and (following.startswith((b"  ", b"{"), end) or PROCESS.match(following, end) is not None)

    def _goes_on(self, source: bytes, before: bytes) -> bool:
        """True if the text is the rest of a line that was cut: it may begin within users' words, and means nothing."""
        rest = source in self._unfinished
        if source in (b"stdout ", b"stderr "):
            (self._unfinished.add if before.endswith(b" P ") else self._unfinished.discard)(source)
        return rest

    def _of_record(self, record: LogRecord, stream: bytes, process: bytes, pid: int | None) -> Iterator[LogLine]:
        """Yields the lines of a record. A line of vLLM in it says more of itself than the record does."""
        writer = stream + record.source
        if writer in self._unfinished:
            self._unfinished.discard(writer)
            if not record.text.endswith("\n"):
                self._unfinished.add(writer)
            return
        if len(self._unfinished) > MAX_UNFINISHED:
            self._unfinished.clear()
        if record.shipped and len(record.text) >= PARTIAL and not record.text.endswith("\n"):
            self._unfinished.add(writer)
        for one in record.lines():
            for line in self.split(uncoloured(one)) if record.shipped else (LogLine(one[:LIMIT]),):
                yield line._replace(
                    process=line.process or record.process or process,
                    pid=line.pid if line.process else record.pid if record.process else pid,
                    level=line.level or record.level,
                    stamp=line.stamp or record.stamp,
                    stream=b"%s%s%s %d" % (writer, line.stream, record.process, record.pid or 0),
                    written=line.written or record.written,
                )


def known_end(text: bytes, at: int, source: bytes, times: int) -> int:
    """Returns where `source`, with that many varying parts in it, ends in `text`; 0 if it is not there."""
    start, shown = at, b""
    for found in _VARIES.finditer(text, at, at + MAX_BEFORE) if times else ():
        shown += text[start : found.start()]
        start, times = found.end(), times - 1
        if not times:
            break
    if times or not source.startswith(shown):
        return 0
    rest = source[len(shown) :]
    if text.startswith(rest, start):
        return start + len(rest)
    return len(text) if text[start:] == rest.rstrip() else 0  # an empty line


def level_of(body: bytes) -> bytes:
    """Returns the level of a line in another format than vLLM's own, if it is a warning or worse."""
    found = _LEVEL.match(body) if body[:1].strip() else None
    return (found[1] or found[2]) if found is not None else b""


def first_time(text: bytes) -> bytes:
    found = TIME.search(text)
    return found[0] if found is not None else b""


def balanced(before: bytes) -> bool:
    """True if no quotation is open: users' words may stand in one."""
    return not any(before.count(mark) % 2 for mark in (b'"', b"'", b"`"))


def looks_added(before: bytes) -> bool:
    """True if the text looks like what a shipper or launcher adds, not like the beginning of a sentence."""
    rest = _COUNTED.sub(b"", before)
    end = rest.rstrip()[-1:]
    if len(rest) != len(before):
        return not end or end in b"|:>]}-,;" or len(rest.split()) <= 2
    return (
        end in (b"|", b">", b"]", b"}") or rest.rstrip()[-2:] in (b"]:", b">:") or rest.rstrip(b" :").strip().isdigit()
    )
