"""Checks whether the paths that the configuration names exist and are what they should be."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vllm_exporter.config.named_paths import NamedPath
from vllm_exporter.config.trusted_paths import find_distrust
from vllm_exporter.trust import OTHERS_WRITE, trusted_users


@dataclass(frozen=True)
class PathProblem:
    """A path with a problem. wrong=False: a warning, since it may appear later or be readable to the exporter's user
    only."""

    wrong: bool
    words: str


def look_at(paths: Iterable[NamedPath]) -> list[PathProblem]:
    """Returns the problems. A path that several keys name is reported once, with the first of them."""
    firsts: dict[str, NamedPath] = {}
    for named in paths:
        firsts.setdefault(os.path.abspath(named.path), named)
    found = (_look(path, named) for path, named in firsts.items())
    return [one for one in found if one is not None]


def _look(path: str, named: NamedPath, above: bool = False) -> PathProblem | None:
    """`above`: it is the directory in which the exporter makes what is named."""
    try:
        about = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _absent(path, named)
    except PermissionError:
        return _no_right(path, named)
    except (OSError, ValueError) as error:  # ValueError: a byte that no path may have
        return PathProblem(True, f"{named.key}: {path!r} cannot be used: {error}; correct the path")
    if not _is(named.kind, about.st_mode):
        return PathProblem(True, f"{named.key}: {path} is not a {named.kind}; correct the path")
    distrust = "" if above else find_distrust(replace(named, path=path))
    if distrust:
        if named.secret or about.st_uid in trusted_users() or about.st_mode & OTHERS_WRITE:
            return PathProblem(True, distrust)
        whose = f"belongs to user {about.st_uid}: it is used only if the exporter runs as that user"
        return PathProblem(False, f"{named.key}: {path} {whose}")
    return None if os.access(path, _rights(named)) else _no_right(path, named)


def _absent(path: str, named: NamedPath) -> PathProblem | None:
    if named.absent == "made":  # where it can be
        return _look(os.path.dirname(path), replace(named, kind="directory"), above=True)
    later = named.absent == "comes_later"
    return PathProblem(not later, f"{named.key}: {path} does not exist{' yet' if later else ''}; {named.fix}")


def _no_right(path: str, named: NamedPath) -> PathProblem:
    """Returns a warning: the check knows only the rights of the user who runs it."""
    verb = "written" if named.absent == "made" else "read"
    return PathProblem(False, f"{named.key}: {path} cannot be {verb} by {_user()}; the exporter's user must be able to")


def _rights(named: NamedPath) -> int:
    if named.kind == "socket":
        return os.R_OK | os.W_OK
    right = os.W_OK if named.absent == "made" else os.R_OK
    return right | os.X_OK if named.kind == "directory" else right


def _is(kind: str, mode: int) -> bool:
    """True if the path is of that kind. A file need not be a regular one: a secret may come through a pipe."""
    if kind == "socket":
        return stat.S_ISSOCK(mode)
    return stat.S_ISDIR(mode) == (kind == "directory")


def _user() -> str:
    """Names the user who runs the check. A container's user may have only a number."""
    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"user {os.geteuid()}"
