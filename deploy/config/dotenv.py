"""The .env file: KEY=VALUE lines, quotes, comments. Strict: a line that is not understood is an error, not a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import SettingsError, why

_ASSIGNMENT = re.compile(r"(?:export\s+)?(?P<key>[^=\s]+)\s*=\s*(?P<rest>.*)")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<value>.*?)(?P=quote)\s*(?:#.*)?""")
_COMMENT = re.compile(r"\s+#.*$")  # '#' inside a word belongs to it, as in http://host/#page


@dataclass(frozen=True)
class Entry:
    """One setting and where it stands, for messages."""

    key: str
    value: str
    where: str  # ".env line 3"


def read_dotenv(path: Path) -> tuple[Entry, ...]:
    """Returns the entries of the file; none when there is no file. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name}: cannot be read as text: {why(error)}") from error
    return parse_dotenv(text, path.name)


def parse_dotenv(text: str, name: str) -> tuple[Entry, ...]:
    """Returns the entries of the text, in order. Raises SettingsError that names the line."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        entry = _parse_line(stripped, f"{name} line {number}")
        if entry.key in entries:
            raise SettingsError(
                f"{entry.where}: {entry.key} is set a second time, first in {entries[entry.key].where}: remove one"
            )
        entries[entry.key] = entry
    return tuple(entries.values())


def _parse_line(line: str, where: str) -> Entry:
    match = _ASSIGNMENT.fullmatch(line)
    if match is None:
        raise SettingsError(f"{where}: expected KEY=VALUE, got {line[:60]!r}")
    key = match["key"]
    if not _KEY.fullmatch(key):
        raise SettingsError(f"{where}: {key[:60]!r} is not a name: letters, digits and '_' only, no digit first")
    return Entry(key, _parse_value(match["rest"], where, key), where)


def _parse_value(rest: str, where: str, key: str) -> str:
    if rest[:1] in ("'", '"'):
        quoted = _QUOTED.fullmatch(rest)
        if quoted is None:
            raise SettingsError(f"{where}: {key} has no closing {rest[0]} or text after it")
        return quoted["value"]
    return "" if rest.startswith("#") else _COMMENT.sub("", rest)
