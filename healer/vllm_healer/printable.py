"""Text from outside, for messages: short, on one line, and with nothing in it that a terminal would obey."""

from __future__ import annotations

import re
import reprlib

QUOTED = 200  # characters of an unexpected answer that are repeated in a message

# A sentence, not a log: enough for two lines of evidence. What is longer belongs into `data`.
WORDS_LENGTH = 500

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring = 4, 80


# A number is a measurement, and another one each time it is taken, unless it is the status of an HTTP answer.
_STATUS = re.compile(r"\b(HTTP|answered|is|status) ([1-5]\d\d)\b(?!\.\d| ?(?:s|ms|%)\b)")
_NUMBER = re.compile(r"(?<![\w<])\d[\d.]*")


def gist(words: str) -> str:
    """The words without what changes from one look to the next, to tell whether they say something new."""
    return _NUMBER.sub("#", _STATUS.sub(r"\1 <\2>", words))


def quoted(text: bytes | str) -> str:
    """The beginning of a text in quotes, what cannot be printed written as escapes."""
    if isinstance(text, bytes):
        text = text[: QUOTED * 4].decode("utf-8", "replace")
    return repr(text[:QUOTED])


def shown(document: object) -> str:
    """A document in short, however large it is or deep it nests."""
    return _SHORT.repr(document)


def one_line(text: str, length: int = WORDS_LENGTH) -> str:
    """The text on one line, without terminal codes and cut to `length`: alerts and logs are strangers' text."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
