"""Parses the table of classes, classes.txt: what a line means and how bad that is.

A pattern is text with gaps. A gap spans a limited number of bytes and nothing is tried twice, so a line costs time in
proportion to its length, whatever its text. Regular expressions would cost more, most of all in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vllm_exporter.facts.events import Severity
from vllm_exporter.facts.xids import SEVERITIES as XID_CLASSES
from vllm_exporter.facts.xids import classify

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")  # mildest first
KEYS = ("pattern", "unless", "xids", "state", "example", "source")
GAP = 200  # bytes that a * stands for at most


@dataclass(frozen=True)
class LogClass:
    """A meaning that a line can have."""

    name: str
    severity: Severity
    starting: Severity  # before the server is ready
    wrapper: bool  # a symptom of another class


@dataclass(frozen=True)
class Pattern:
    """The text of the lines of a class."""

    kind: LogClass
    pieces: tuple[bytes, ...]  # in this order, with gaps between them
    needle: bytes  # the longest of them: a line without it, as most are, needs no more work
    unless: bytes = b""  # must not be in the line; b'' is no condition
    xids: frozenset[str] = frozenset()  # the last gap must be an XID of these classes; empty is no condition
    state: str = ""  # the lifecycle state that the line proves
    example: str = ""
    source: str = ""

    def span(self, text: bytes) -> tuple[int, int] | None:
        """Returns where it begins and ends in `text`; None when it is not there."""
        if self.needle not in text or (self.unless and self.unless in text):
            return None
        start = text.find(self.pieces[0])
        end = start + len(self.pieces[0])
        gap = b""
        for piece in self.pieces[1:]:
            at = text.find(piece, end, end + GAP + len(piece)) if start >= 0 else -1
            if at < 0:
                return None
            gap, end = text[end:at], at + len(piece)
        if start < 0 or (self.xids and xid_class(gap) not in self.xids):
            return None
        return start, end


def xid_class(code: bytes) -> str:
    """Returns the class in facts/xids.py; `unknown` when it is no code."""
    return classify(int(code) if code.isdigit() and len(code) < 5 else -1)[0]


def parse_table(text: str, examples: bool = False) -> tuple[Pattern, ...]:
    """Returns the patterns. `examples`: with examples and sources, which only tests and documents need.

    Raises ValueError, naming the line.
    """
    found: list[Pattern] = []
    kind: LogClass | None = None
    fields: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            found.extend(_pattern(kind, fields, examples))
            kind, fields = _kind(line, number), {}
            continue
        key, _, value = line.strip().partition(" ")
        if key not in KEYS or not value:
            raise ValueError(f"line {number}: unknown key {key!r}, or nothing behind it")
        if key == "xids" and (unknown := set(value.split()) - XID_CLASSES.keys()):
            raise ValueError(f"line {number}: no class of XIDs: {', '.join(sorted(unknown))}")
        if key == "pattern":
            found.extend(_pattern(kind, fields, examples))
            fields = {}
        fields[key] = value
    found.extend(_pattern(kind, fields, examples))
    return tuple(found)


def kinds(patterns: tuple[Pattern, ...]) -> dict[str, LogClass]:
    """Returns the classes by name, in the order of the table."""
    return {pattern.kind.name: pattern.kind for pattern in patterns}


def _kind(line: str, number: int) -> LogClass:
    """Parses a heading: `class severity [wrapper] [starting=severity]`."""
    name, *words = line.split()
    flags = dict(word.partition("=")[::2] for word in words[1:])
    if not words or set(flags) - {"wrapper", "starting"}:
        raise ValueError(f"line {number}: expected `class severity [wrapper] [starting=severity]`, got {line!r}")
    severity = _severity(words[0], number)
    return LogClass(name, severity, _severity(flags.get("starting", severity), number), "wrapper" in flags)


def _severity(word: str, number: int) -> Severity:
    for severity in SEVERITIES:
        if severity == word:
            return severity
    raise ValueError(f"line {number}: unknown severity {word!r}; known: {', '.join(SEVERITIES)}")


def _pattern(kind: LogClass | None, fields: Mapping[str, str], examples: bool) -> Iterator[Pattern]:
    """Yields the pattern, if one is complete."""
    if kind is None or "pattern" not in fields:
        return
    pieces = tuple(piece.encode() for piece in fields["pattern"].split("*"))
    if not all(pieces):
        raise ValueError(f"{kind.name}: a * at the end of {fields['pattern']!r}, or two together, stand for nothing")
    yield Pattern(
        kind,
        pieces,
        max(pieces, key=len),
        fields.get("unless", "").encode(),
        frozenset(fields.get("xids", "").split()),
        fields.get("state", ""),
        fields.get("example", "") if examples else "",
        fields.get("source", "") if examples else "",
    )
