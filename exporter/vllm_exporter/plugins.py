"""Finds the plug-ins of a package: a plug-in's module is its registration."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from vllm_exporter.errors import PluginError

T = TypeVar("T")


def load(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """{module name: the one subclass of base it defines}, sorted by name; a name with a leading _ is no plug-in.

    Raises PluginError when a name is there twice or a module defines none or two; an ImportError is not swallowed.
    """
    return {name: only_class(import_module(f"{package.__name__}.{name}"), base) for name in module_names(package)}


def module_names(package: ModuleType) -> tuple[str, ...]:
    """The names of the plug-ins of a package, without importing them. Raises PluginError when a name is there twice."""
    found: dict[str, str] = {}
    for folder in package.__path__:
        for name in _modules_in(sorted(os.listdir(folder))):
            if name in found:
                raise PluginError(f"two plug-ins are named {name!r}, in {found[name]} and {folder}; rename one")
            found[name] = folder
    return tuple(sorted(found))


def only_class(module: ModuleType, base: type[T]) -> type[T]:
    """The one subclass of base that the module defines itself; imported ones do not count."""
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
    if len(found) == 1:
        return found[0]
    names = " and ".join(value.__name__ for value in found) or "none"
    raise PluginError(f"{module.__name__}: expected one subclass of {base.__name__}, found {names}")


def _modules_in(entries: Iterable[str]) -> list[str]:
    names = [entry.removesuffix(".py") for entry in entries if entry.endswith(".py") or "." not in entry]
    return [name for name in names if not name.startswith("_")]
