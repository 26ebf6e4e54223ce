"""Carries the files that a configuration points to into its volume, since a container sees no others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from deploy.errors import SettingsError, why

FOLDER = "files"  # beside the configuration


@dataclass
class Carrier:
    """Replaces each path below a `_file` key by where the part will see its copy, and collects the copies."""

    read: Callable[[Path], str]
    base: Path  # where the part sees its configuration
    files: dict[str, str] = field(default_factory=dict)  # copies: relative name -> text

    def carry(self, text: str) -> str:
        """Returns the YAML configuration with replaced paths. Of its comments only the first line stays."""
        head = "".join(line for line in text.splitlines(keepends=True)[:1] if line.startswith("#"))
        values = self._carry(yaml.safe_load(text))
        return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)

    def _carry(self, value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: self._carry(item, str(name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self._carry(item) for item in value]
        if not (isinstance(value, str) and key.endswith("_file") and value.startswith("/")):
            return value
        return value if self.base in Path(value).parents else self._take(Path(value))

    def _take(self, path: Path) -> str:
        """Returns the path of the copy. Its name has a hash of the path, so that two files of one name do not meet."""
        name = f"{FOLDER}/{hashlib.sha256(str(path).encode()).hexdigest()[:8]}-{path.name}"
        self.files[name] = self.read(path)
        return str(self.base / name)


def read_own(path: Path) -> str:
    """Reads a file that a configuration names. Raises SettingsError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {why(error)}; the configuration names it") from error


def read_from(mounted: Path) -> Callable[[Path], str]:
    """Returns a reader of the checkout's files, which are all that the service `config` sees of the host."""

    def read(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fix = f"containers are given files of the checkout only: copy it there, for example to {mounted}/secrets/"
            raise SettingsError(f"{path}: cannot be read: {why(error)}; {fix}") from error

    return read


def carry_files(
    files: Mapping[str, Mapping[str, str]], base: Path, read: Callable[[Path], str]
) -> dict[str, dict[str, str]]:
    """Returns part -> name -> text, with copies of the files that the parts' configurations name."""
    carried: dict[str, dict[str, str]] = {}
    for part, texts in files.items():
        carrier, main = Carrier(read, base), f"{part}.yml"
        changed = {main: carrier.carry(texts[main])} if part != "prometheus" else {}
        carried[part] = {**texts, **changed, **carrier.files}
    return carried
