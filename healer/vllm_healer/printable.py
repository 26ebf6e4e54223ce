"""Text from outside, for messages: short, on one line, and with nothing in it that a terminal would obey."""

from __future__ import annotations

import reprlib

QUOTED = 200  # characters of an unexpected answer that are repeated in a message

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring = 4, 80


def quoted(text: bytes | str) -> str:
    """The beginning of a text in quotes, what cannot be printed written as escapes."""
    if isinstance(text, bytes):
        text = text[: QUOTED * 4].decode("utf-8", "replace")
    return repr(text[:QUOTED])


def shown(document: object) -> str:
    """A document in short, however large it is or deep it nests."""
    return _SHORT.repr(document)
