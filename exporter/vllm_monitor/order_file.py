"""The file by which a person or the healer throttles the servers of a directory: throttle.json."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from vllm_monitor.limits import BadThrottle, Limit, Order, format_order, parse_order
from vllm_monitor.regular_file import read_regular

NAME = "throttle.json"
MOST_BYTES = 64 * 1024
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
MODE = 0o644  # servers of other users read it, too


def read_order(folder: Path) -> Order | None:
    """Returns the order, or None where there is none. Raises BadThrottle when it cannot be read, or not be trusted."""
    try:
        about, text = read_regular(folder / NAME, MOST_BYTES)
        _check(about, folder.stat())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadThrottle(f"it cannot be read: {error.strerror}; remove it") from None
    return parse_order(text)


def write_order(
    folder: Path, limits: tuple[Limit, ...], seconds: float, status: int, wall: Callable[[], float] = time.time
) -> Order:
    """Takes the place of the order before, at once and as a whole. Raises OSError."""
    try:
        before = read_order(folder)
    except BadThrottle:
        before = None
    # Milliseconds: what two write at the same time differs, and what is removed does not come back as the same one.
    generation = max(int(wall() * 1000), before.generation + 1 if before else 1)
    order = Order(generation, wall() + seconds, limits, status)
    new = folder / f"{NAME}.{os.urandom(8).hex()}.new"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        with open(file, "wb") as stream:
            os.fchmod(file, MODE)  # whatever the umask
            stream.write(format_order(order))
        os.replace(new, folder / NAME)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    return order


def _check(about: os.stat_result, folder: os.stat_result) -> None:
    """Raises BadThrottle when somebody else than root, this user or the directory's owner could have written it."""
    if about.st_uid not in (0, os.geteuid(), folder.st_uid):
        raise BadThrottle(f"it belongs to user {about.st_uid}; remove it")
    if about.st_mode & OTHERS_WRITE:
        raise BadThrottle(f"others may write to it (mode {stat.S_IMODE(about.st_mode):04o}); run: chmod 644 on it")
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        raise BadThrottle("every user may write into its directory; run: chmod +t on that")
