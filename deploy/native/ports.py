"""Ports: whether one is free, and who listens on it."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from pathlib import Path

import psutil

from deploy.config.addresses import HOST
from deploy.errors import PortInUse
from deploy.native.accounts import trusted_users

_NET = Path("/proc/net")
_LISTENING = "0A"  # TCP_LISTEN (include/net/tcp_states.h)


def check_ports(ports: Mapping[str, int], ours: Collection[int]) -> None:
    """Raises PortInUse for the first port (part -> port) that a process outside `ours` (pids) holds."""
    for part, port in ports.items():
        if not is_free(port) and not is_ours(port, ours):
            raise PortInUse(
                f"port {port} is in use by {owner(port)}: stop that process, or set {part.upper()}_PORT in .env"
            )


def is_free(port: int) -> bool:
    """True if a part could listen there. Tries it, since bind fails exactly when the part's own would."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no owner
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return True  # below 1024 as an ordinary user: the part itself will say so
        except OSError:
            return False
        return True


def is_trusted(port: int) -> bool:
    """True if all that listens there is root's, this user's or a part's: it may be told a secret. False for nobody.

    A user whose program took the port of a part that is down would be told the secret else.
    """
    users = listening_users(port)
    return bool(users) and users <= trusted_users()


def listening_users(port: int) -> set[int]:
    """Returns the uids of the sockets that listen on the port, on any address; anybody may read them (proc_net(5))."""
    tables = (_NET / name for name in ("tcp", "tcp6"))
    return {uid for table in tables if table.exists() for uid in parse_listening(table.read_text(), port)}


def parse_listening(table: str, port: int) -> set[int]:
    """Reads /proc/net/tcp or tcp6: the address is the second column, the state the fourth, the uid the eighth."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {
        int(row[7])
        for row in rows
        if len(row) > 7 and row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port
    }


def owner(port: int) -> str:
    """Names who listens there: 'prometheus (pid 123, user prometheus)'. Only root sees other users' processes."""
    if pids := _listening(port):
        return ", ".join(_describe(pid) for pid in sorted(pids))
    return f"a process of another user (`sudo ss -ltnp 'sport = :{port}'` names it)"


def is_ours(port: int, ours: Collection[int]) -> bool:
    pids = _listening(port)
    return bool(pids) and pids <= set(ours)


def _listening(port: int) -> set[int]:
    """Pids of the processes that listen on the port, as far as this user may see them."""
    listening = (one for one in psutil.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN)
    return {one.pid for one in listening if one.pid and one.laddr and one.laddr.port == port}


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return f"{process.name()} (pid {pid}, user {process.username()})"
    except psutil.Error:
        return f"pid {pid}"
