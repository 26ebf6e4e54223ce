"""Plug-ins: a module in a package is its own registration. No list to keep, no decorator, no swallowed error."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

from vllm_healer.errors import PluginError

T = TypeVar("T")


def load(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """{module name: the one subclass of `base` that the module defines}, sorted by name.

    Modules whose name begins with an underscore are helpers. What a module raises at import is raised here: a healer
    with half of its detectors is not started.
    """
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_"))
    return {name: choose_plugin(importlib.import_module(f"{package.__name__}.{name}"), base) for name in names}


def choose_plugin(module: ModuleType, base: type[T]) -> type[T]:
    """The one subclass of `base` defined in `module`; what it imports from elsewhere does not count."""
    own = [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__]
    found = [cls for cls in own if issubclass(cls, base) and cls is not base]
    what = f"{module.__name__} defines"
    if not found:
        raise PluginError(f"{what} no {base.__name__}: add one subclass, or begin the file's name with '_'")
    if len(found) > 1:
        names = " and ".join(cls.__name__ for cls in found)
        raise PluginError(f"{what} {names}: one {base.__name__} a module, so move the others to their own files")
    return found[0]
