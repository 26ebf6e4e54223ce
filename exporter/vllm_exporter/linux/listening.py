"""Finds the TCP ports on which a process listens, from its open sockets, and whether a host name means this host."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from vllm_exporter.linux.files import read_file

LISTEN = b"0A"  # state of a listening socket in /proc/net/tcp, see include/net/tcp_states.h
MAX_TABLE = 4 * 1024 * 1024  # bytes: 28,000 sockets


def read_ports(proc: Path, pid: int) -> frozenset[int] | None:
    """Returns the ports on which it listens; None when it belongs to another user and we are not root."""
    sockets = read_sockets(proc, pid)
    if sockets is None:
        return None
    if not sockets:
        return frozenset()
    ports: dict[int, int] = {}
    for table in ("tcp", "tcp6"):
        ports.update(parse_table(read_file(proc / str(pid) / "net" / table, MAX_TABLE) or b""))
    return frozenset(port for inode, port in ports.items() if inode in sockets)


def parse_table(text: bytes) -> Mapping[int, int]:
    """Returns inode to port of each listening socket in /proc/net/tcp or tcp6."""
    return {int(row[9]): _port(row) for row in _listening_rows(text)}


def read_owners(proc: Path, pid: int) -> Mapping[int, frozenset[int]]:
    """Returns port to the users whose processes listen on it, in the network that the process is in."""
    owners: dict[int, frozenset[int]] = {}
    for table in ("tcp", "tcp6"):
        for row in _listening_rows(read_file(proc / str(pid) / "net" / table, MAX_TABLE) or b""):
            owners[_port(row)] = owners.get(_port(row), frozenset()) | {int(row[7])}
    return owners


def read_user(proc: Path, pid: int) -> int | None:
    """Returns the user of a process; None when it is gone."""
    try:
        return os.stat(f"{proc}/{pid}").st_uid
    except OSError:
        return None


def _listening_rows(text: bytes) -> Iterator[list[bytes]]:
    rows = (line.split() for line in text.splitlines()[1:])
    return (row for row in rows if len(row) > 9 and row[3] == LISTEN and row[7].isdigit() and row[9].isdigit())


def _port(row: list[bytes]) -> int:
    return int(row[1].rpartition(b":")[2], 16)


def read_sockets(proc: Path, pid: int) -> frozenset[int] | None:
    """Returns the inodes of the sockets that the process holds open; None when they cannot be seen."""
    folder = proc / str(pid) / "fd"
    try:
        links = [_readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    except OSError:
        return None
    return frozenset(int(link[8:-1]) for link in links if link.startswith("socket:["))


def same_network(proc: Path, pid: int) -> bool:
    """True if its ports are this host's, not those of a container with a network of its own.

    Only root and the process's user may read which network namespace it is in; for others the addresses in it are
    compared. When these cannot be read either, it counts as this host's.
    """
    theirs, ours = _readlink(f"{proc}/{pid}/ns/net"), _readlink(f"{proc}/self/ns/net")
    if theirs and ours:
        return theirs == ours
    table = read_file(proc / str(pid) / "net/fib_trie", MAX_TABLE)
    return table is None or parse_addresses(table) == read_addresses(proc, "self")


def read_addresses(proc: Path, pid: int | str) -> frozenset[str]:
    """Returns the IPv4 addresses of the network that the process is in, without loopback."""
    return parse_addresses(read_file(proc / str(pid) / "net/fib_trie", MAX_TABLE) or b"")


def parse_addresses(text: bytes) -> frozenset[str]:
    """Parses /proc/net/fib_trie: a local address is the line before `/32 host LOCAL`."""
    found, before = set(), b""
    for line in text.splitlines():
        if b"/32 host LOCAL" in line:
            found.add(before.rpartition(b" ")[2].decode("ascii", "replace"))
        before = line
    return frozenset(address for address in found if not address.startswith("127."))


def is_this_host(host: str, hostname: str) -> bool:
    """True for loopback, this host's name, or an address of one of its interfaces. Asks no name server."""
    if host.lower() in ("localhost", hostname.lower(), hostname.lower().partition(".")[0]):
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
            with socket.socket(family, socket.SOCK_DGRAM) as trial:
                trial.bind((host, 0))
        except OSError:
            continue
        return True
    return False


def _readlink(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
