"""exporter.yml and healer.yml: the user's beside .env, else the commented defaults of each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from deploy.config.targets import Target, parse_targets
from deploy.errors import SettingsError, why


@dataclass(frozen=True)
class Source:
    """One such file as it was read. Its part judges what is in it (`check-config`)."""

    path: Path
    users: bool  # the user's own, not the defaults
    values: Mapping[str, object]


@dataclass(frozen=True)
class Listed:
    """A server of exporter.yml with its other keys."""

    target: Target
    options: Mapping[str, object] = field(default_factory=dict)


def read_source(root: Path, home: Path, part: str) -> Source:
    """Reads a part's file; `home` is the directory of .env. Makes paths absolute, since it is rendered elsewhere."""
    users, default = home / f"{part}.yml", root / part / f"{part}.yml"
    path = users if users.exists() else default
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {why(error)}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}{_yaml_problem(error)}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected keys with values at the top")
    absolute = {str(key): with_absolute_files(value, path.parent, str(key)) for key, value in values.items()}
    return Source(path, path == users, absolute)


def with_absolute_files(value: object, base: Path, key: str = "") -> object:
    """Returns the value with paths made absolute: those of the journal and under keys that end with _file."""
    if isinstance(value, dict):
        return {name: with_absolute_files(item, base, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [with_absolute_files(item, base) for item in value]
    is_path = key.endswith("_file") or key == "journal"
    return str(base / value) if is_path and isinstance(value, str) and value else value


def listed_servers(source: Source, hostname: str) -> tuple[Listed, ...]:
    """Returns `targets` of exporter.yml, which are addresses or mappings with an address. Raises SettingsError."""
    items = source.values.get("targets") or []
    if not isinstance(items, list):
        raise SettingsError(f"{source.path.name}: targets: expected a list, got {items!r}")
    listed = tuple(_listed(item, source.path.name, hostname) for item in items)
    parse_targets(
        " ".join(one.target.address for one in listed), hostname, f"{source.path.name}: targets"
    )  # no two alike
    return listed


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Returns ' line 7: …'; YAML's own message names no file and has several lines."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f" line {error.problem_mark.line + 1}: not YAML: {error.problem}"
    return f": not YAML: {error}"


def _listed(item: object, name: str, hostname: str) -> Listed:
    keys = {"address": item} if isinstance(item, str) else item
    if not isinstance(keys, dict) or "address" not in keys:
        raise SettingsError(f"{name}: a target is host:port or a mapping with an address, got {item!r}")
    address = str(keys["address"])
    if "scheme" in keys:
        address = f"{keys['scheme']}://{address.rpartition('://')[2]}"
    [target] = parse_targets(address, hostname, f"{name}: targets") or [None]
    if target is None:
        raise SettingsError(f"{name}: a target has an empty address")
    return Listed(target, {key: value for key, value in keys.items() if key not in ("address", "scheme")})
