"""Reads the table of classes of log lines that is part of the package."""

from __future__ import annotations

from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.logs.table import Pattern, parse_table

TABLE = Path(__file__).with_name("classes.txt")


def read_classes(path: Path = TABLE, examples: bool = False) -> tuple[Pattern, ...]:
    """Reads the table; `examples`: with parts for tests and documents. Raises SourceError if it is missing or wrong."""
    try:
        return parse_table(path.read_text(encoding="utf-8"), examples)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from None
