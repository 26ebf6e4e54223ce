"""Unix sockets beside the journal: whoever has the journal's user's rights can reach the healer there, nobody else.

A path may be longer than the 107 bytes that a socket's address holds, so the directory is named by a descriptor of it.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PEER = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


def beside(journal: str) -> Path:
    """The socket of the healer that has this journal."""
    path = Path(journal)
    return path.with_name(f"{path.name}.sock")


def listen(path: Path) -> socket.socket:
    """Listens there, for the owner only. What is left of an earlier socket is replaced. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _short(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: Path, seconds: float) -> socket.socket:
    """A connection whose steps take `seconds` at most. Raises OSError when nobody listens there."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        with _short(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def peer(connection: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel knows it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
    return int(PEER.unpack(raw)[1])


@contextmanager
def _short(path: Path) -> Iterator[str]:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
