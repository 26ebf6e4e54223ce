"""Shows names that strangers chose so that one is not taken for another."""

from __future__ import annotations

import re

WORD = r"[\w.:/@%\[\]-]+"
PLAIN = re.compile(rf"{WORD}( {WORD})*", re.ASCII)


def plain_name(name: str) -> str:
    """The name as it is, or in quotes with what is not plain ASCII written out: 'vm:8000 ', 'vm:80\\u043e0'."""
    return name if PLAIN.fullmatch(name) else ascii(name)
