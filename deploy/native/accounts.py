"""Accounts: natively as root, the users that the parts run as. Only the healer, which signals processes, stays root.

Each part's files are its user's, in directories that are root's: it can read what it is given, and replace none of it.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import psutil

from deploy.errors import NativeError
from deploy.native.layout import Layout

USERS = {part: f"vllm-{part}" for part in ("exporter", "prometheus", "alertmanager", "grafana")}
_TRUSTED = ("exporter", "prometheus", "alertmanager")  # Grafana knows no password but Prometheus'
_EXPORTER_GROUPS = ("systemd-journal", "adm")  # read the journal and /var/log; those that are there
_PASSING = 0o711  # others pass through, and look at nothing


class ProcessUser(TypedDict):
    """The user of a process, as `subprocess` takes it."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A user of the system."""

    name: str
    uid: int
    gid: int

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    def process(self) -> ProcessUser:
        """Returns the arguments with which `subprocess` starts a process of this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": os.getgrouplist(self.name, self.gid)}


ROOT = Account("root", 0, 0)


@dataclass(frozen=True)
class Accounts:
    """`of`: part -> user, of the parts that could have one of their own; empty where `make up` runs as another user."""

    of: Mapping[str, Account]
    warnings: tuple[str, ...] = ()

    @property
    def apart(self) -> tuple[str, ...]:
        """The parts that may not read what root may."""
        return tuple(part for part, account in self.of.items() if not account.is_root)


def choose_accounts(layout: Layout, programs: Mapping[str, str], exporter_user: str) -> Accounts:
    """Makes missing users. `programs`: part -> its program. Raises NativeError when `exporter_user` is not there.

    A part whose user cannot reach its program or the run directory stays root, with a warning: it ran so before.
    """
    if os.geteuid() != 0:
        return Accounts({})
    found, warnings = dict[str, Account](), []
    for part in programs:
        user = (exporter_user if part == "exporter" else "") or USERS[part]
        account, problem = ROOT, ""
        if user != "root":
            account, problem = _usable(user, user != USERS[part], programs[part], layout.run)
        found[part] = account
        if problem:
            warnings.append(f"{part} runs as root, not as {user}: {problem}")
    return Accounts(found, tuple(warnings))


def trusted_users() -> frozenset[int]:
    """Returns the uids whose listeners may be told a secret: root's, this user's, and those of parts that know it."""
    ours = (account.uid for part in _TRUSTED if (account := find_account(USERS[part])))
    return frozenset({0, os.geteuid(), *ours})


def find_account(name: str) -> Account | None:
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(known.pw_name, known.pw_uid, known.pw_gid)


def runs_as_another(pid: int, account: Account) -> bool:
    try:
        return psutil.Process(pid).uids().real != account.uid
    except psutil.Error:  # it has just ended
        return False


def hand_over(layout: Layout, config: Path, accounts: Accounts) -> None:
    """Gives each part the files that were rendered for it, and its data; those of earlier releases are root's."""
    for directory in (layout.run, config, layout.run / "data") if accounts.of else ():
        directory.chmod(_PASSING)
    for part, account in accounts.of.items():
        for path in _files_of(part, config):
            _give(path, account)
        if layout.data(part).stat().st_uid != account.uid:
            for path in (*layout.data(part).rglob("*"), layout.data(part)):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _usable(user: str, chosen: bool, program: str, run: Path) -> tuple[Account, str]:
    """Returns the user's account; or root's, and why. `chosen`: by a setting, so that nobody makes it here."""
    account = find_account(user)
    if account is None and chosen:
        raise NativeError(f"EXPORTER_USER is {user!r}, and there is no such user: `useradd --system {user}` makes one")
    if account is None and (problem := _make(user)):
        return ROOT, problem
    account = account or find_account(user)
    if account is None:
        return ROOT, f"useradd made no user {user}"
    problem = _unreachable(account, program, run)
    return (ROOT, problem) if problem else (account, "")


def _make(user: str) -> str:
    """Makes a user of the system that nobody logs in as. Returns what went wrong, or ''."""
    flags = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    groups = [name for name in _EXPORTER_GROUPS if user == USERS["exporter"] and _has_group(name)]
    more = ["--groups", ",".join(groups)] if groups else []
    command = ["useradd", *flags, "--shell", "/usr/sbin/nologin", *more, user]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"useradd could not be run: {error.strerror}"
    if done.returncode == 0:
        print(f"made the system user {user}")
    return "" if done.returncode == 0 else f"useradd says: {done.stderr.strip()}"


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _unreachable(account: Account, program: str, run: Path) -> str:
    """Returns why the user cannot run the program or pass through the run directory, or ''. Tries it."""
    script = 'test -x "$1" && exec "$2" --help >/dev/null'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(run), program],
        **account.process(),
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    for needed in (run, Path(program), Path(program).resolve(), Path(sys.prefix, "bin", "python").resolve()):
        if closed := first_closed(needed):
            return f"that user cannot enter {closed}, where {needed} lies; put it where others may enter, such as /opt"
    return f"that user cannot run {program}: {done.stderr.strip()[-200:]}"


def first_closed(path: Path) -> Path | None:
    """Returns the first directory on the way to the path that others may not enter."""
    return next((one for one in reversed(path.parents) if not one.stat().st_mode & 0o001), None)


def _files_of(part: str, config: Path) -> Iterable[Path]:
    """Returns what was rendered for a part, a directory before what is in it."""
    places = (config / "exporter.yml", config / "files") if part == "exporter" else (config / part,)
    for place in places:
        if place.exists():
            yield place
            yield from place.rglob("*")


def _give(path: Path, account: Account) -> None:
    """A directory stays root's, and its group may look in; a file is the user's own."""
    if path.is_dir():
        os.chown(path, 0, account.gid)
        path.chmod(0o750)
    else:
        os.chown(path, account.uid, account.gid)
