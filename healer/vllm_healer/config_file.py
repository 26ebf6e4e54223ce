"""A YAML file whose every value knows its line, so that a mistake is named where it stands. Knows no key by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import yaml

from vllm_healer.errors import ConfigError

_NULL = "tag:yaml.org,2002:null"


class Section:
    """One mapping of the file. Readers return the default when a key is absent or empty; all raise ConfigError."""

    def __init__(self, file: str, node: yaml.MappingNode | None) -> None:
        self._file = file
        self._line = node.start_mark.line + 1 if node else 0
        self._nodes: dict[str, yaml.Node] = {}
        for key, value in node.value if node else ():
            self._add(key, value)

    def only(self, known: Iterable[str]) -> Section:
        """Refuses any other key: a misspelt limit must not be a limit that is not there."""
        names = sorted(known)
        for key in self._nodes:
            if key not in names:
                raise self.error(key, f"unknown key {key!r}; known: {', '.join(names)}")
        return self

    def keys(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def text(self, key: str, default: str = "") -> str:
        node = self._nodes.get(key)
        if node is None or node.tag == _NULL:
            return default
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(key, f"{key} is a single value, not a list or a mapping")
        return str(node.value).strip()

    def number(self, key: str, default: float, minimum: float = 0.0) -> float:
        text = self.text(key)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            raise self.error(key, f"{key} is a number, not {text!r}") from None
        if not math.isfinite(value) or value < minimum:
            raise self.error(key, f"{key} is {text}; it must be at least {minimum:g}")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        node = self._nodes.get(key)
        if node is None or node.tag == _NULL:
            return default
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in node.value):
            raise self.error(key, f"{key} is a list of names; write [one, two]")
        return tuple(str(item.value) for item in node.value)

    def section(self, key: str) -> Section:
        """The mapping under `key`; an empty one when it is absent."""
        node = self._nodes.get(key)
        if node is None or node.tag == _NULL:
            return Section(self._file, None)
        return self._section(node, key)

    def sections(self, key: str) -> tuple[Section, ...]:
        """The list of mappings under `key`."""
        node = self._nodes.get(key)
        if node is None or node.tag == _NULL:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(key, f"{key} is a list; begin each entry with '- '")
        return tuple(self._section(item, f"an entry of {key}") for item in node.value)

    def where(self, key: str = "") -> str:
        """'healer.yml line 14': of the key, or of the section when it has no such key."""
        node = self._nodes.get(key)
        return f"{self._file} line {node.start_mark.line + 1 if node else self._line}"

    def error(self, key: str, words: str) -> ConfigError:
        return ConfigError(f"{self.where(key)}: {words}")

    def _section(self, node: yaml.Node, what: str) -> Section:
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{self._file} line {node.start_mark.line + 1}: {what} is a mapping; write key: value")
        return Section(self._file, node)

    def _add(self, key: yaml.Node, value: yaml.Node) -> None:
        name = str(key.value)
        if name in self._nodes:
            line = key.start_mark.line + 1
            raise ConfigError(f"{self._file} line {line}: {name!r} is given twice; the first is in {self.where(name)}")
        self._nodes[name] = value


def read_file(path: Path) -> Section:
    """The file's top section. Raises ConfigError when it cannot be read or is not YAML."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {words}") from None


def parse(text: str, file: str) -> Section:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file} line {line}: is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: is not YAML: {error}") from None
    if node is None:
        return Section(file, None)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{file} line 1: the file is a mapping; write key: value")
    return Section(file, node)


EMPTY = Section("the defaults", None)
