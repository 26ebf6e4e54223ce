"""Finds every metric family of the exporter, wherever it is declared."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import vllm_exporter
from vllm_exporter.metrics.family import Family


def every_family() -> tuple[Family, ...]:
    """All families that a module of the exporter has as a constant, by name."""
    modules = [import_module(found.name) for found in walk_packages(vllm_exporter.__path__, "vllm_exporter.")]
    families = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Family)}
    return tuple(sorted(families.values(), key=lambda family: family.name))
