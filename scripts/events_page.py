"""Writes the table of kinds in docs/collectors/events.md, from the kinds of events that there are.

With --check it writes nothing, names the page when it is not up to date, and exits with 1.
"""

from __future__ import annotations

import sys
from dataclasses import MISSING, Field, fields
from typing import Any

from scripts.marked import CHECKOUT, fill, write
from vllm_exporter.facts.events import COMMON, Event

PAGE = CHECKOUT / "docs" / "collectors" / "events.md"


def table() -> str:
    """Returns a row per kind: when it is emitted, and its own fields. Those in brackets may be left out of a line."""
    rows = ["| kind | emitted when | fields |", "|---|---|---|"]
    for kind in sorted(Event.__subclasses__(), key=lambda one: one.kind):
        names = ", ".join(field_name(one) for one in fields(kind) if one.name not in COMMON)
        rows.append(f"| `{kind.kind}` | {kind.occasion} | {names} |")
    return "\n".join(rows) + "\n"


def field_name(one: Field[Any]) -> str:
    name = f"`{one.name.rstrip('_')}`"
    return name if one.default is MISSING else f"({name})"


if __name__ == "__main__":
    sys.exit(write({PAGE: fill(PAGE.read_text(), "kinds", table(), PAGE.name)}, sys.argv[1:]))
