"""Parses the JSON object of an answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite


def parse_object(body: bytes) -> Mapping[str, object]:
    """Returns the JSON object; an empty one when the body is none, or has a number or a nesting that Python refuses."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def parse_number(said: Mapping[str, object], key: str) -> float | None:
    """Returns a number that can be: finite, 0 or more, no integer that is too large for it."""
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) and number >= 0 else None
