"""Parses the table of classes, classes.txt: what a line means and how bad that is.

A pattern is text with gaps. A gap spans a limited number of bytes and nothing is tried twice, so a line costs time in
proportion to its length, whatever its text. Regular expressions would cost more, most of all in memory. Lines of the
kernel are the exception: few have their words, and linux/kernel_forms.py has their forms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from vllm_exporter.facts.events import Severity
from vllm_exporter.linux.kernel_forms import KernelKind, parse_kernel_line, words_of

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")  # mildest first
KERNEL_KINDS: tuple[KernelKind, ...] = get_args(KernelKind)
TEXTS = ("pattern", "line", "kernel")
KEYS = (*TEXTS, "do", "state", "example", "source")
FLAGS = ("wrapper", "stopping", "quiet", "starting")
GAP = 200  # bytes that a * stands for at most


@dataclass(frozen=True)
class LogClass:
    """A meaning that a line can have."""

    name: str
    severity: Severity
    starting: Severity  # before the server is ready
    wrapper: bool  # a symptom of another class
    stopping: bool = False  # a stop that was asked for has it too
    quiet: bool = True  # lines of the levels INFO and DEBUG can have it too
    do: str = ""  # what to do about it


@dataclass(frozen=True)
class Pattern:
    """The text of the lines of a class."""

    kind: LogClass
    pieces: tuple[bytes, ...]  # in this order, with gaps between them; none for a line of the kernel
    needle: bytes  # the longest of them: a line without it, as most are, needs no more work
    kernel: str = ""  # the kind of event that a line of the kernel tells; it must be as bad as the class
    whole: bool = False  # the line has nothing else
    state: str = ""  # the lifecycle state that the line proves
    example: str = ""
    source: str = ""

    def span(self, text: bytes) -> tuple[int, int] | None:
        """Returns where it begins and ends in `text`; None when it is not there."""
        if self.needle not in text:
            return None
        if self.kernel:
            event = parse_kernel_line(text.decode("latin-1"))  # a character a byte
            return (event.start, event.end) if event and (event.kind, event.severity) == self._told else None
        if self.whole:
            return (0, len(text)) if text.strip() == self.needle else None
        start = text.find(self.pieces[0])
        end = start + len(self.pieces[0])
        for piece in self.pieces[1:]:
            at = text.find(piece, end, end + GAP + len(piece)) if start >= 0 else -1
            if at < 0:
                return None
            end = at + len(piece)
        return (start, end) if start >= 0 else None

    @property
    def _told(self) -> tuple[str, Severity]:
        return self.kernel, self.kind.severity


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
        if key == "kernel" and value not in KERNEL_KINDS:
            raise ValueError(
                f"line {number}: no kind of lines of the kernel: {value!r}; known: {', '.join(KERNEL_KINDS)}"
            )
        if key == "do":
            kind = replace(kind, do=value if examples else "") if kind else None
            continue
        if key in TEXTS:
            found.extend(_pattern(kind, fields, examples))
            fields = {}
        fields[key] = value
    found.extend(_pattern(kind, fields, examples))
    return tuple(found)


def kinds(patterns: tuple[Pattern, ...]) -> dict[str, LogClass]:
    """Returns the classes by name, in the order of the table."""
    return {pattern.kind.name: pattern.kind for pattern in patterns}


def _kind(line: str, number: int) -> LogClass:
    """Parses a heading: `class severity [wrapper] [stopping] [quiet] [starting=severity]`."""
    name, *words = line.split()
    flags = dict(word.partition("=")[::2] for word in words[1:])
    if not words or set(flags) - set(FLAGS):
        raise ValueError(
            f"line {number}: expected `class severity [wrapper] [stopping] [quiet] [starting=severity]`, got {line!r}"
        )
    severity = _severity(words[0], number)
    starting = _severity(flags.get("starting", severity), number)
    quiet = "quiet" in flags or severity == "info"
    return LogClass(name, severity, starting, "wrapper" in flags, "stopping" in flags, quiet)


def _severity(word: str, number: int) -> Severity:
    for severity in SEVERITIES:
        if severity == word:
            return severity
    raise ValueError(f"line {number}: unknown severity {word!r}; known: {', '.join(SEVERITIES)}")


def _pattern(kind: LogClass | None, fields: Mapping[str, str], examples: bool) -> Iterator[Pattern]:
    """Yields the pattern, if one is complete; for lines of the kernel one for each of their words."""
    if kind is None or not any(key in fields for key in TEXTS):
        return
    state = fields.get("state", "")
    seen = (fields.get("example", ""), fields.get("source", "")) if examples else ("", "")
    if "kernel" in fields:
        for word in words_of(fields["kernel"]):
            yield Pattern(kind, (), word.encode(), fields["kernel"], False, state, *(seen if word in seen[0] else ()))
        return
    text, whole = fields.get("line", fields.get("pattern", "")), "line" in fields
    pieces = (text.encode(),) if whole else tuple(piece.encode() for piece in text.split("*"))
    if not all(pieces):
        raise ValueError(f"{kind.name}: a * at the end of {text!r}, or two together, stand for nothing")
    yield Pattern(kind, pieces, max(pieces, key=len), "", whole, state, *seen)
