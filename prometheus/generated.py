"""What the generators of rules share: write the file, or say whether it is up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


class SourceError(ValueError):
    """The file that rules are made from is wrong; the message names what and the fix."""


def write_or_check(source: Path, target: Path, make: Callable[[str], str], arguments: list[str] | None) -> int:
    """Writes what `make` returns for the source, or compares it with --check.

    Returns 2 when the source is wrong, 1 when the target is out of date.
    """
    parser = argparse.ArgumentParser(description=f"Write rules/{target.name} from {source.name}.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the rules are out of date")
    check = parser.parse_args(arguments).check
    try:
        text = make(source.read_text())
    except SourceError as error:
        print(error, file=sys.stderr)
        return 2
    if not check:
        target.write_text(text)
        return 0
    if target.exists() and target.read_text() == text:
        return 0
    print(f"{target.name} does not match {source.name}; run: make rules", file=sys.stderr)
    return 1
