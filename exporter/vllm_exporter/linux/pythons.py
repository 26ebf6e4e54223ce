"""Asks another Python what is installed in its environment, and lets its pip install something there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from vllm_exporter.errors import SourceError

DEADLINE = 30.0  # seconds; it reads the names of a few hundred distributions
NAME = "vllm_monitor"  # of the entry points, and of the package
DISTRIBUTION = "vllm-exporter"
LOOK = """
import importlib.util, json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
found = metadata.entry_points()
groups = found.groups if hasattr(found, "groups") else set(found)
of = lambda group: found.select(group=group) if hasattr(found, "select") else found[group]
print(json.dumps({
    "python": list(sys.version_info[:3]),
    "vllm": version("vllm"),
    "distribution": version("DISTRIBUTION"),
    "groups": sorted(group for group in groups if any(one.name == "NAME" for one in of(group))),
    "package": importlib.util.find_spec("NAME") is not None,
    "pip": importlib.util.find_spec("pip") is not None,
}))
""".replace("DISTRIBUTION", DISTRIBUTION).replace("NAME", NAME)
KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "VIRTUAL_ENV")


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A user of the system and its group, by number."""

    user: int
    group: int


@dataclass(frozen=True)
class PythonEnvironment:
    """The distributions there. A version is '' for one that is not; `groups` are those of our entry points."""

    python: tuple[int, ...]
    vllm: str
    distribution: str
    groups: frozenset[str]
    package: bool
    pip: bool


def look_at(python: str, environ: Mapping[str, str], account: Account | None = None) -> PythonEnvironment:
    """Runs the interpreter in its environment. Raises SourceError when it is none, or does not answer."""
    kept = {name: environ[name] for name in KEPT if name in environ}
    try:
        done = subprocess.run(
            [python, "-c", LOOK],
            env=kept,
            cwd="/",  # Python puts the present directory before all others
            **_as(account),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        told: Any = json.loads(done.stdout.strip().rpartition("\n")[2]) if done.returncode == 0 else None
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        who = f" as user {account.user}" if account else ""
        raise SourceError(f"{python} cannot be asked{who}: {error}") from None
    if not isinstance(told, dict):
        raise SourceError(f"{python} cannot be asked: {done.stderr.strip()[-300:] or 'it says nothing'}")
    return PythonEnvironment(
        tuple(told["python"]),
        told["vllm"],
        told["distribution"],
        frozenset(told["groups"]),
        told["package"],
        told["pip"],
    )


def pip_install(python: str, source: str, account: Account | None = None) -> None:
    """Installs a wheel, or a directory of sources, without what it needs. Raises SourceError with the words of pip."""
    with tempfile.TemporaryDirectory(prefix="vllm-monitor-") as folder:
        command = [python, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", _copy(source, folder)]
        try:
            _give(Path(folder), account)
            done = subprocess.run(
                command, cwd="/", **_as(account), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise SourceError(f"{python} cannot be run: {os.strerror(error.errno or 0)}") from None
    if done.returncode:
        raise SourceError(f"{' '.join(command)} says:\n{(done.stderr or done.stdout).strip()[-2000:]}")


def _copy(source: str, folder: str) -> str:
    """Returns the path of a copy: pip builds in a directory of sources, where its leavings would be in the next build,
    and where the account may not write."""
    copy = os.path.join(folder, os.path.basename(source))
    try:
        if os.path.isdir(source):
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        else:
            shutil.copy(source, copy)
    except OSError as error:  # of copytree, too
        raise SourceError(f"{source} cannot be copied: {error}") from None
    return copy


def _give(folder: Path, account: Account | None) -> None:
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.user, account.group)


def is_trusted(python: str) -> bool:
    """True if it is not another user who may replace the interpreter; root runs it as that user."""
    return os.geteuid() == 0 or os.stat(os.path.dirname(python)).st_uid in (0, os.geteuid())


def owner_of(python: str) -> Account | None:
    """Returns as whom root runs an interpreter: as the one who may replace it. None where nothing is to change."""
    about = os.stat(os.path.dirname(python))
    return Account(about.st_uid, about.st_gid) if os.geteuid() == 0 and about.st_uid != 0 else None


def _as(account: Account | None) -> _RunAs:
    if account is None:
        return {}
    return {"user": account.user, "group": account.group, "extra_groups": []}
