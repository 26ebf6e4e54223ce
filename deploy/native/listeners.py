"""Who listens on a port, from /proc/net/tcp and /proc/<pid>/fd."""

from __future__ import annotations

import contextlib
import pwd
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.config.addresses import HOST
from deploy.errors import PortInUse

_LISTEN = "0A"  # the state's number in /proc/net/tcp (include/net/tcp_states.h)


@dataclass(frozen=True)
class Listener:
    """A listening socket; the user is always known, the process only to its user and to root."""

    port: int
    uid: int
    inode: int


def check_ports(ports: Mapping[str, int], ours: Collection[int]) -> None:
    """Raises PortInUse for the first port that a process outside `ours` (pids) holds."""
    for part, port in ports.items():
        if not is_free(port) and not _is_ours(port, ours):
            raise PortInUse(f"port {port} is in use by {owner(port)}: stop it or set {part.upper()}_PORT in .env")


def is_free(port: int) -> bool:
    """By trying: bind fails exactly when the part's own would."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no owner
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return True  # below 1024 as an ordinary user: the part itself will say so
        except OSError:
            return False
        return True


def owner(port: int) -> str:
    """'prometheus (pid 123, user prometheus)', or as much of it as may be seen."""
    if pids := _pids(port):
        return ", ".join(_describe(pid) for pid in pids)
    users = sorted({_user(listener.uid) for listener in _listeners(port)})
    return f"a process of user {', '.join(users)}" if users else "an unknown process"


def parse_listeners(text: str) -> tuple[Listener, ...]:
    """The listening sockets of /proc/net/tcp or tcp6."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return tuple(
        Listener(int(row[1].rsplit(":", 1)[1], 16), int(row[7]), int(row[9])) for row in rows if row[3] == _LISTEN
    )


def _is_ours(port: int, ours: Collection[int]) -> bool:
    pids = _pids(port)
    return bool(pids) and set(pids) <= set(ours)


def _listeners(port: int) -> list[Listener]:
    texts = [path.read_text() for name in ("tcp", "tcp6") if (path := Path("/proc/net") / name).exists()]
    return [listener for text in texts for listener in parse_listeners(text) if listener.port == port]


def _pids(port: int) -> list[int]:
    wanted = {f"socket:[{listener.inode}]" for listener in _listeners(port)}
    return [pid for pid in psutil.pids() if wanted & _links(pid)]


def _links(pid: int) -> set[str]:
    links = set()
    with contextlib.suppress(OSError):  # the process is gone, or another user's
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                links.add(str(descriptor.readlink()))
    return links


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return f"{process.name()} (pid {pid}, user {process.username()})"
    except psutil.Error:
        return f"pid {pid}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
