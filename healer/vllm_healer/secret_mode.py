"""Tells whether a secret's file is open to users who have no right to it. Each part has the same copy."""

from __future__ import annotations

import os
import stat

_OTHERS = stat.S_IRWXO


def exposed(path: str) -> str:
    """Words for what is wrong with the file's mode, with the fix; '' when nothing is. Raises OSError.

    A group is a choice: the user of Alertmanager reads the healer's token by it. On a read-only mount the mode is what
    Docker and Kubernetes have made of it (0444, 0644) and cannot be changed; who sees the mount is what protects it.
    """
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if not mode & _OTHERS or os.statvfs(path).f_flag & os.ST_RDONLY:
        return ""
    return f"is open to every user (mode {mode:04o}); run: chmod 600 {path} (in a container, or mount it read-only)"
