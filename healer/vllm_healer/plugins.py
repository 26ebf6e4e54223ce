"""Finds the plug-ins of a package: a plug-in's module is its registration. No list to keep, no swallowed error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from .errors import PluginError

T = TypeVar("T")


def load(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """Returns {plug-in's name: the one subclass of `base` that its module defines}, sorted by name.

    Raises PluginError when a name is there twice, or a module defines none or two. An error of a module at its import
    is raised here: a program with half of its plug-ins is not started.
    """
    return {name: only_class(import_module(module), base) for name, module in find_modules(package, base).items()}


def find_modules(package: ModuleType, base: type[object]) -> dict[str, str]:
    """Returns {plug-in's name: its module}, sorted by name, without importing one.

    Raises PluginError when a name is there twice.

    For the base class Collector a module `x.py` is the plug-in x, and in a package below so is `x/collector.py`;
    `x/y_collector.py` is y. A module that begins with an underscore is no plug-in.
    """
    found: dict[str, tuple[str, str]] = {}
    for folder in package.__path__:
        for name, module in _modules_in(folder, base.__name__.lower()):
            if name in found:
                raise PluginError(f"two plug-ins are named {name!r}, in {found[name][1]} and {folder}; rename one")
            found[name] = (f"{package.__name__}.{module}", folder)
    return {name: module for name, (module, _) in sorted(found.items())}


def only_class(module: ModuleType, base: type[T]) -> type[T]:
    """Returns the one subclass of `base` that the module defines itself. Raises PluginError for none or several."""
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
    fix = f"define one {base.__name__}, or begin the file's name with '_'"
    raise PluginError(f"{module.__name__}: expected one subclass of {base.__name__}, found {names}; {fix}")


def _modules_in(folder: str, kind: str) -> Iterator[tuple[str, str]]:
    """Yields each plug-in's name and its module below the package."""
    for entry in _names(folder):
        if not os.path.isdir(os.path.join(folder, entry)):
            yield entry, entry
            continue
        for name in _names(os.path.join(folder, entry)):
            if name == kind:
                yield entry, f"{entry}.{name}"
            elif name.endswith(f"_{kind}"):
                yield name.removesuffix(f"_{kind}"), f"{entry}.{name}"


def _names(folder: str) -> list[str]:
    """Returns the names of modules and packages, sorted."""
    names = [entry.removesuffix(".py") for entry in os.listdir(folder) if entry.endswith(".py") or "." not in entry]
    return sorted(name for name in names if not name.startswith("_"))
