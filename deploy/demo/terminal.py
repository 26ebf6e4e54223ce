"""Formats lines for a terminal: wrapped to its width, in colour only there and not with NO_COLOR (no-color.org)."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from deploy.demo.sentences import Colour, Sentence

_CODES: dict[Colour, str] = {"red": "31", "yellow": "33", "magenta": "35", "cyan": "36", "green": "32", "dim": "2"}
_HEAD = "{after:6.1f} s  {who:<9} "  # as wide as 'exporter'
_INDENT = " " * len(_HEAD.format(after=0.0, who=""))
_WIDTH = 110  # where there is no terminal to ask


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """True for a terminal without NO_COLOR. FORCE_COLOR is for the recording, whose output is a pipe."""
    return not environ.get("NO_COLOR") and (stream.isatty() or bool(environ.get("FORCE_COLOR")))


def width_of(stream: TextIO) -> int:
    return shutil.get_terminal_size((_WIDTH, 24)).columns if stream.isatty() else _WIDTH


def line(sentence: Sentence, colour: bool, width: int) -> str:
    """Formats `  31.2 s  exporter  …`; a long sentence goes on under its own words."""
    head = _HEAD.format(after=sentence.after, who=sentence.who)
    text = textwrap.fill(
        sentence.words, width, initial_indent=head, subsequent_indent=_INDENT,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return paint(text, sentence.colour) if colour else text


def paint(text: str, colour: Colour) -> str:
    """Colours line by line, so that each line can be shown alone."""
    return "\n".join(f"\033[{_CODES[colour]}m{part}\033[0m" for part in text.splitlines())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats columns as wide as they need be."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(row.rstrip() for row in padded)


class Screen:
    """Writes to standard output."""

    def __init__(self) -> None:
        self._colour = wants_colour(sys.stdout, os.environ)
        self._width = width_of(sys.stdout)

    def say(self, sentence: Sentence) -> None:
        print(line(sentence, self._colour, self._width), flush=True)

    def plain(self, text: str, colour: Colour | None = None) -> None:
        print(paint(text, colour) if colour and self._colour else text, flush=True)
