"""Tells whether a file says what its owner wrote: whoever may change policy or journal commands the healer's rights."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path


def trusted_users() -> frozenset[int]:
    """Root, and the user as whom the healer runs."""
    return frozenset({0, os.geteuid()})


def distrust_file(path: Path, users: frozenset[int]) -> str:
    """Words for why others than `users` may have written a file, with the fix; '' when none may, or it is not there.

    A link counts by what it leads to, if its own owner is trusted: that is how Kubernetes mounts a ConfigMap.
    """
    stranger = distrust_links(path, users)
    if stranger:
        return stranger
    real = Path(os.path.realpath(path))
    return _distrust(real, users) or ("" if _keeps_files(real.parent) else _distrust(real.parent, users))


def distrust_links(path: Path, users: frozenset[int]) -> str:
    """Words for a link of a stranger's on the way to the path, the path itself included; '' without one."""
    for step in (*reversed(Path(os.path.abspath(path)).parents), path):
        about = _stat(step, follow=False)
        if about is not None and stat.S_ISLNK(about.st_mode) and about.st_uid not in users:
            return f"{step} is a link of user {about.st_uid}; name what it leads to, or remove the link"
    return ""


def _distrust(path: Path, users: frozenset[int]) -> str:
    about = _stat(path)
    if about is None or _read_only(path):  # nobody writes to a read-only mount, whatever the modes say
        return ""
    if about.st_uid not in users:
        return f"{path} belongs to user {about.st_uid}; run: chown {os.geteuid()} {path}"
    writable = about.st_mode & stat.S_IWOTH or (about.st_mode & stat.S_IWGRP and not _own_group(about))
    if not writable:
        return ""
    return f"others may write to {path} (mode {stat.S_IMODE(about.st_mode):04o}); run: chmod go-w {path}"


def _keeps_files(directory: Path) -> bool:
    """True for a directory such as /tmp, in which nobody but its owner removes or renames a file."""
    about = _stat(directory)
    return about is not None and bool(about.st_mode & stat.S_ISVTX) and about.st_uid == 0


def _own_group(about: os.stat_result) -> bool:
    """True for a group in which nobody else is: the owner's or our own one, or one of ours that this system knows
    nothing of, as in a container (a volume of Kubernetes belongs to root and to the group fsGroup)."""
    gid = about.st_gid
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        ours = gid in (os.getegid(), *os.getgroups())
        return ours and all(user.pw_uid == os.geteuid() for user in pwd.getpwall() if user.pw_gid == gid)
    return any(_is_private(group, uid) for uid in (about.st_uid, os.geteuid()))


def _is_private(group: grp.struct_group, uid: int) -> bool:
    """True for a group of the user's name with nobody else in it, as most distributions give each user (umask 002)."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {user.pw_name}
    return alone and user.pw_gid == group.gr_gid and user.pw_name == group.gr_name


def _stat(path: Path, follow: bool = True) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError:
        return None  # it is not there, or cannot be seen: whoever opens it says so


def _read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
