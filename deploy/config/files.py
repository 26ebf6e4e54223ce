"""Writes files only when they differ, and whole or not at all; keeps secrets private."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.errors import SettingsError, TemplateError, why

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def write_if_changed(path: Path, text: str) -> bool:
    """Returns True if it wrote. Readers see the old or the new text, never half of it. Mode 0600: it may be secret."""
    data = text.encode()
    if _read(path) == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made 0600 by mkstemp
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise
    return True


def sync_directory(directory: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Makes the directory hold exactly these files (relative name -> text); returns the names that changed."""
    changed = [name for name, text in files.items() if write_if_changed(directory / name, text)]
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name not in files:
            path.unlink()
            changed.append(name)
    return tuple(sorted(changed))


def private_directory(path: Path) -> Path:
    """Makes the directory where it is missing, and closes it to other users."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(PRIVATE_DIRECTORY)
    return path


def run_directory(path: Path) -> Path:
    """Makes the directory of all that runs. As root others may pass through it, to what is theirs, and not look."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o711 if os.geteuid() == 0 else PRIVATE_DIRECTORY)
    return path


def keep_secret(path: Path) -> Path:
    """Makes a random token once and keeps it, since parts that run hold it. Corrects its permissions each time."""
    private_directory(path.parent)
    if not (_read(path) or b"").strip():
        write_if_changed(path, new_secret())
    path.chmod(PRIVATE_FILE)
    return path


def new_secret() -> str:
    return secrets.token_urlsafe(32) + "\n"  # 256 bits


def read_secret(path: Path) -> str:
    """Returns '' when it is not there yet."""
    text = (_read(path) or b"").decode()
    return text if text.strip() else ""


def read_template(path: Path) -> str:
    """Reads a file of the checkout. Raises TemplateError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path}: cannot be read: {why(error)}; `git status` shows what is missing") from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {why(error)}: if it is another user's, remove it or run as that user"
        ) from error
