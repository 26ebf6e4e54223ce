"""Text between two marks of a page, which a program writes; the rest of the page is written by hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def fill(text: str, mark: str, generated: str, name: str) -> str:
    """The page `text` with `generated` between its marks. Raises ValueError, naming the page, when it lacks them."""
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{name} lacks the lines {begin} and {end}, between which {mark} goes")
    return f"{before}{begin}\n{generated}{end}{after}"


def write(pages: Mapping[Path, str], arguments: list[str]) -> int:
    """Writes the pages that are not up to date; with --check names them instead. The exit code."""
    old = [file for file, text in pages.items() if not file.exists() or file.read_text() != text]
    if "--check" not in arguments:
        for file in old:
            file.write_text(pages[file])
        return 0
    for file in old:
        print(f"{file.relative_to(CHECKOUT)} is not up to date: make docs", file=sys.stderr)
    return int(bool(old))


def escape(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")
