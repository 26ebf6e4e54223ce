"""A key: what is known of one setting, and the checks that its value may need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.config.dotenv import Entry
from deploy.errors import SettingsError

Check = Callable[[Entry], None]  # raises SettingsError that names the key and the fix


@dataclass(frozen=True)
class Key:
    """One setting. `default` is what holds when it is absent or empty."""

    name: str
    help: str
    default: str = ""
    example: str = ""  # for .env.example, where there is no default
    passed_to: str = ""  # the part whose environment it goes to
    file: bool = False  # a path; a relative one is looked for beside .env
    needs: tuple[str, ...] = ()  # other keys that must be set with it
    instead_of: str = ""  # another key, which must not be set with it; the file holds what that one would say
    check: Check | None = None  # of its value; of a file, which is readable and not empty by then


def check_url(entry: Entry) -> None:
    """Refuses what is no URL. The message does not repeat it, since it may be a secret."""
    if not _is_url(entry.value):
        raise SettingsError(f"{entry.where}: {entry.key} does not begin with http://host or https://host")


def check_url_in_file(entry: Entry) -> None:
    if not _is_url(Path(entry.value).read_text(encoding="utf-8").strip()):
        raise SettingsError(
            f"{entry.where}: {entry.key}: {entry.value} does not hold a URL: "
            "write one line into it that begins with https://"
        )


def check_directory(entry: Entry) -> None:
    """Refuses what docker compose would take for something else: a volume's name, or two paths."""
    if not entry.value.startswith("/") or entry.value == "/" or ":" in entry.value:
        raise SettingsError(f"{entry.where}: {entry.key} is {entry.value!r}: write the whole path of a directory")


def check_host_port(entry: Entry) -> None:
    host, _, port = entry.value.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(
            f"{entry.where}: {entry.key} is {entry.value!r}: write host:port, for example mail.example.org:587"
        )


def check_boolean(entry: Entry) -> None:
    if entry.value not in ("true", "false"):
        raise SettingsError(f"{entry.where}: {entry.key} is {entry.value!r}: write true or false")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # a bracket that is not closed
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(map(str.isspace, text))
