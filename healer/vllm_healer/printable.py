"""Text from outside, for messages: short, on one line, and with nothing in it that a terminal would obey."""

from __future__ import annotations

import re
import reprlib

QUOTED = 200  # characters of an unexpected answer that are repeated in a message

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
