"""Removes private text from a line: prompts, keys, tokens, the rest of addresses. Pure."""

from __future__ import annotations

import re

LENGTH = 240  # characters of an excerpt
_LOOK = 2 * LENGTH  # bytes that are read
HIDDEN = "…"

_QUOTED = re.compile(r"""(["`]|(?<![A-Za-z])')(?:\\.|(?!\1).)*(?:\1|\Z)""", re.DOTALL)
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{1,15}://)(?:[^\s/@]*@)?([^\s/?#]*)[^\s]*")
_SECRET = re.compile(
    r"(?i)\b([\w-]*(?:key|token(?!s)|secret|passw(?:or)?d|authorization))(\s?[:=]\s?)(?:(?:bearer|basic)\s)?\S+"
)
_LIST = re.compile(r"\[[\d\s,.]{6,}\]?|\{[^}]*\}?")
_LONG = re.compile(r"\b(?:sk-|hf_|eyJ)[\w.-]*|(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[\w+/=-]{28,}")


def redact(text: bytes) -> str:
    """Returns a printable excerpt: quotes, lists, and secrets by name or by look are replaced by an ellipsis."""
    shown = text[:_LOOK].decode("utf-8", "replace")
    shown = _ADDRESS.sub(r"\1\2", shown)
    shown = _QUOTED.sub(lambda found: found[1] + HIDDEN + found[1], shown)
    shown = _SECRET.sub(rf"\1\2{HIDDEN}", shown)
    shown = _LIST.sub(HIDDEN, shown)
    shown = _LONG.sub(HIDDEN, shown)
    shown = "".join(character if character.isprintable() else " " for character in shown).strip()
    return shown if len(shown) <= LENGTH else shown[: LENGTH - 1] + HIDDEN
