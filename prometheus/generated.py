"""What the generators of rules share: read YAML with its lines; write the file, or say whether it is up to date."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


class SourceError(ValueError):
    """The file that rules are made from is wrong; the message names what and the fix."""


class Entries(dict[Any, Any]):
    """A mapping of a file, with the line on which it begins and those of its keys, from 1 on."""

    def __init__(self, values: dict[Any, Any], line: int, lines: dict[object, int]) -> None:
        super().__init__(values)
        self.line = line
        self.lines = lines


class _Loader(yaml.SafeLoader):
    """Makes Entries of mappings."""


def _entries(loader: _Loader, node: yaml.MappingNode) -> Entries:
    loader.flatten_mapping(node)
    values: dict[Any, Any] = {}
    lines: dict[object, int] = {}
    for key_node, value_node in node.value:
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if not isinstance(key, str | int | float):
            raise SourceError(f"line {line}: {key!r} is no name")
        if key in lines:
            raise SourceError(f"line {line}: {key} is there already, on line {lines[key]}; take one of them out")
        values[key], lines[key] = loader.construct_object(value_node, deep=True), line
    return Entries(values, node.start_mark.line + 1, lines)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _entries)


def load(text: str, name: str) -> object:
    """The document, its mappings as Entries. Raises SourceError, which begins with `name` of the file and the line."""
    try:
        return yaml.load(text, _Loader)
    except SourceError as error:
        raise SourceError(f"{name} {error}") from None
    except yaml.MarkedYAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SourceError(f"{name}{where}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SourceError(f"{name}: not YAML: {error}") from None


def number(value: object) -> float | None:
    """The value if it is a finite number, else None."""
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fine and isinstance(value, int | float) else None


def quoted(text: str) -> str:
    """The text as a string of PromQL."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


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
