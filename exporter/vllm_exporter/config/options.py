"""Reads a collector's section of exporter.yml into the dataclass that the collector declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from vllm_exporter.config.yaml_lines import Value

T = TypeVar("T")


def parse_options(given: Mapping[str, Value], cls: type[T], collector: str) -> T:
    """Returns a `cls`, a dataclass whose fields are text, numbers, switches or tuples of text, all with defaults.

    Raises ConfigError, naming the line and the key.
    """
    kinds = {one.name: str(one.type) for one in fields(cls)}  # type: ignore[arg-type] # a dataclass, says the caller
    for name, value in given.items():
        if name not in kinds:
            value.unknown(name, f"collector {collector}", ("enabled", "interval", *kinds))
    return cls(**{name: READERS[kinds[name]](value, f"{collector}.{name}") for name, value in given.items()})


def read_texts(value: Value, what: str) -> tuple[str, ...]:
    return tuple(item.text(what) for item in value.items(what))


# The types as they are written in the source: annotations are text there (from __future__ import annotations).
READERS: dict[str, Callable[[Value, str], Any]] = {
    "str": lambda value, what: value.text(what),
    "float": lambda value, what: value.positive(what),
    "int": lambda value, what: value.count(what),
    "bool": lambda value, what: value.switch(what),
    "tuple[str, ...]": read_texts,
}
