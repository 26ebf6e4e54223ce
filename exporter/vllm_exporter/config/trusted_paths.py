"""Checks whether other users may read secrets, or change what the exporter keeps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vllm_exporter.config.named_paths import NamedPath
from vllm_exporter.errors import ConfigError
from vllm_exporter.trust import (
    Untrusted,
    check_file,
    check_folder,
    check_links,
    check_not_everybodys,
    check_secret,
)


def require_trusted(paths: Iterable[NamedPath]) -> None:
    """Raises ConfigError for the first path that others could misuse."""
    for named in paths:
        problem = find_distrust(named)
        if problem:
            raise ConfigError(problem)


def require_own_settings(path: Path | None) -> None:
    """Raises ConfigError for an exporter.yml that every user may change: it names what is read, and written to."""
    try:
        if path is not None:
            check_not_everybodys(path)
    except Untrusted as problem:
        raise ConfigError(str(problem)) from None


def find_distrust(named: NamedPath) -> str:
    """Returns the key, what is wrong with its path, and the fix; '' when nothing is, or nothing is there."""
    path = Path(named.path)
    try:
        if named.secret:
            check_secret(named.path)
        elif named.absent == "made" and named.kind == "directory":
            check_folder(path)
        elif named.absent == "made":
            check_links(path)
            check_file(path, path.lstat())
    except Untrusted as problem:
        return f"{named.key}: {problem}"
    except (OSError, ValueError):
        return ""  # it is not there, or cannot be seen: others say so
    return ""
