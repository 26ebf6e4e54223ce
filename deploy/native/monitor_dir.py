"""The directory in which vLLM's processes hand their counts to the exporter: made where it is missing."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.config.targets import Target, is_loopback
from deploy.native.ports import listening_users

MODE = 0o755  # the exporter refuses one into which others may write


def make_monitor_dir(path: Path, owner: int) -> str:
    """Makes the directory for vLLM's user. Returns what a person has to do instead, or ''."""
    if path.is_dir():
        return ""
    try:
        path.mkdir(MODE)
        path.chmod(MODE)  # whatever the umask
        if os.geteuid() == 0:
            os.chown(path, owner, -1)
    except OSError:
        return f"for what only vLLM's processes know: sudo install -d -o {_name(owner)} {path}; docs/inside-vllm.md"
    return ""


def choose_owner(targets: Iterable[Target], environ: Mapping[str, str]) -> int:
    """Returns the user of the servers on this host, if it is one; else the one who runs this, also by sudo."""
    local = (one.address.rpartition(":") for one in targets)
    users = {user for host, _, port in local if is_loopback(host) for user in listening_users(int(port))}
    if len(users) == 1:
        return users.pop()
    by_sudo = environ.get("SUDO_UID", "")
    return int(by_sudo) if by_sudo.isdecimal() and os.geteuid() == 0 else os.geteuid()


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
