"""Every metric family of the exporter, each declared once, a module a subject. A constant is the family's name without
`vllm_`."""

from __future__ import annotations

from importlib import import_module

from vllm_exporter.family import Family


def every() -> tuple[Family, ...]:
    """All families, by name. Imports every module of the package: for documents and tests, not for the daemon."""
    from pkgutil import iter_modules  # 0.1 MiB that the daemon need not carry

    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    families = [value for module in modules for value in vars(module).values() if isinstance(value, Family)]
    return tuple(sorted(families, key=lambda family: family.name))
