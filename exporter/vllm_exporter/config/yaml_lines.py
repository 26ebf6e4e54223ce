"""Reads a YAML file into values that know their line, so that every message can name it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from ..errors import ConfigError

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")
LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Value:
    """A value of the file: text, a number, true/false, None, a list of Values or a dict of name to Value."""

    data: object
    where: str  # "exporter.yml line 14"
    written: str = ""  # a single value as it stands in the file, whatever type YAML takes it for

    def mapping(self, known: Collection[str], what: str) -> dict[str, Value]:
        """The value as a mapping with only known keys; nothing written counts as an empty one."""
        if self.data is None:
            return {}
        if not isinstance(self.data, dict):
            raise self.wrong(what, "keys with values", "write key: value")
        for key, value in self.data.items():
            if key not in known:
                value.unknown(key, what, known)
        return self.data

    def section(self, known: Collection[str], what: str) -> dict[str, Value]:
        """The value as a mapping in which every known key is present; a key that is not written has no data."""
        given = self.mapping(known, what)
        return {key: given.get(key, Value(None, self.where)) for key in known}

    def unknown(self, key: str, what: str, known: Collection[str]) -> NoReturn:
        """Raises ConfigError for an unknown key; `where` is the key's line."""
        raise ConfigError(f"{self.where}: unknown key {key!r} in {what}; known: {', '.join(sorted(known))}")

    def items(self, what: str) -> list[Value]:
        """The value as a list; nothing written counts as an empty one."""
        if self.data is None:
            return []
        if not isinstance(self.data, list):
            raise self.wrong(what, "a list", "begin each item with '- ', or write [one, two]")
        return self.data

    def text(self, what: str) -> str:
        """The value as text; nothing written counts as ''."""
        if self.data is None:
            return ""
        if not isinstance(self.data, str):
            raise self.wrong(what, "text; put it in quotes")
        return self.data

    def scalar(self, what: str, default: str = "") -> str:
        """The single value as it stands in the file (`8000` is text too); nothing written counts as `default`."""
        if self.data is None:
            return default
        if isinstance(self.data, list | dict):
            raise self.wrong(what, "a single value")
        return self.written.strip()

    def number(self, what: str, minimum: float, default: float) -> float:
        """The value as a finite number of at least `minimum`; nothing written counts as `default`."""
        text = self.scalar(what)
        if not text:
            return default
        try:
            number = float(text)
        except ValueError:
            raise self.wrong(what, "a number") from None
        if not minimum <= number < float("inf"):
            raise self.wrong(what, f"a number of at least {minimum:g}")
        return number

    def whole(self, what: str, minimum: int, default: int) -> int:
        """The value as a whole number of at least `minimum`; nothing written counts as `default`."""
        number = self.number(what, minimum, default)
        if number != int(number):
            raise self.wrong(what, "a whole number")
        return int(number)

    def switch(self, what: str) -> bool:
        if not isinstance(self.data, bool):
            raise self.wrong(what, "true or false")
        return self.data

    def positive(self, what: str) -> float:
        """The value as a finite number above 0."""
        if isinstance(self.data, bool) or not isinstance(self.data, int | float) or not 0 < self.data <= LARGEST:
            raise self.wrong(what, "a number above 0")
        return float(self.data)

    def count(self, what: str) -> int:
        """The value as a whole number above 0."""
        if isinstance(self.data, bool) or not isinstance(self.data, int) or self.data < 1:
            raise self.wrong(what, "a whole number above 0")
        return self.data

    def plain(self) -> object:
        """The value without its places, as yaml would have read it."""
        if isinstance(self.data, dict):
            return {key: value.plain() for key, value in self.data.items()}
        return [value.plain() for value in self.data] if isinstance(self.data, list) else self.data

    def checked(self, parse: Callable[[str], T], what: str) -> T:
        """Runs `parse` on the text and adds the line to its ConfigError."""
        text = self.text(what)
        try:
            return parse(text)
        except ConfigError as error:
            raise ConfigError(f"{self.where}: {error}") from None

    def wrong(self, what: str, expected: str, fix: str = "") -> ConfigError:
        """The error for a value of another kind than `expected`; `fix` says how to write it."""
        shown = "a list" if isinstance(self.data, list) else "keys" if isinstance(self.data, dict) else repr(self.data)
        return ConfigError(f"{self.where}: {what} must be {expected}, not {shown}{fix and f'; {fix}'}")


def read_file(path: Path) -> Value:
    """The file's content. Raises ConfigError when it cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    return parse_file(text, path.name)


def parse_file(text: str, name: str) -> Value:
    """The text of a YAML file; `name` stands in messages. yaml is imported here: only who has a file pays 3 MiB."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return Value(None, f"{name} line 1") if node is None else _value(loader, node, name)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name} line {line}: is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: is not YAML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{name}: an alias (*name) stands inside what it stands for; write the value out") from None


def _value(loader: yaml.SafeLoader, node: yaml.Node, name: str) -> Value:
    import yaml

    where = f"{name} line {node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        return Value(_mapping(loader, node, name), where)
    if isinstance(node, yaml.SequenceNode):
        return Value([_value(loader, item, name) for item in node.value], where)
    try:
        return Value(loader.construct_object(node), where, node.value)
    except (ValueError, LookupError, AttributeError):  # no date or number, as it says: 2026-13-01, 0x_, !!timestamp x
        raise ConfigError(f"{where}: {node.value!r} cannot be read as YAML; put it in quotes") from None


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode, name: str) -> dict[str, Value]:
    """Keys as text; where a key stands is where its value stands, so that `unknown key` names the key's line."""
    values: dict[str, Value] = {}
    for key_node, value_node in node.value:
        where = f"{name} line {key_node.start_mark.line + 1}"
        if not isinstance(key_node.value, str):
            raise ConfigError(f"{where}: a key must be a word, not a list or keys with values")
        key = key_node.value
        if key in values:
            raise ConfigError(f"{where}: {key!r} is there twice, first on {values[key].where}; remove one")
        values[key] = replace(_value(loader, value_node, name), where=where)
    return values
