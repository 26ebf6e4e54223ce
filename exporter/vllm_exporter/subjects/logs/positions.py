"""Keeps how far each log was read in a file, so that a restart of the exporter neither loses lines nor counts twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vllm_exporter.state import replace_file
from vllm_exporter.subjects.logs.source import Position

VERSION = 1
MAX_SIZE = 1024 * 1024  # bytes; it has about 700 for each log


def read_positions(path: Path) -> dict[str, Position]:
    """By log; {} when there is no file. Raises ValueError when there is one that makes no sense."""
    import json  # not at the top: costs memory, and is needed only where logs are configured

    try:
        with open(path, "rb") as file:
            text = file.read(MAX_SIZE)
    except FileNotFoundError:
        return {}
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']!r}, expected {VERSION}")
        return {str(name): _position(position) for name, position in data["positions"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def write_positions(path: Path, positions: Mapping[str, Position]) -> None:
    """Replaces the file as a whole. Raises OSError."""
    import json

    data = {"version": VERSION, "positions": {name: dict(position) for name, position in positions.items()}}
    replace_file(path, json.dumps(data, indent=1).encode() + b"\n")


def _position(given: Mapping[object, object]) -> Position:
    return {str(key): value for key, value in given.items() if isinstance(value, (str, int))}
