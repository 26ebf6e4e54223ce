"""Tells who listens on a TCP port of this host, by /proc/net/tcp: any user may take a port that is free."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vllm_healer.actuators.processes import Process, Snapshot
from vllm_healer.model import Target

_LISTEN = "0A"  # the state TCP_LISTEN, include/net/tcp_states.h
_MAPPED = b"\0" * 10 + b"\xff\xff"  # before an IPv4 address that is written as IPv6


@dataclass(frozen=True)
class Listener:
    """A listening socket."""

    address: bytes  # 4 or 16, in network order
    uid: int
    inode: str


def is_here(connected: socket.socket) -> bool:
    """True if the other end is on this host: a connection to an address of our own comes from that address."""
    return bool(connected.getpeername()[0] == connected.getsockname()[0])


def listening(connected: socket.socket, proc: Path) -> tuple[Listener, ...]:
    """The sockets that take connections where this one is connected to; empty when none is of this network."""
    address, port = connected.getpeername()[:2]
    return tuple(found for found in read_listeners(port, proc) if found.address in _forms(address))


def holds(pid: int, listeners: tuple[Listener, ...], proc: Path) -> bool:
    """True if the process itself has all of these sockets open, and there is one."""
    return bool(listeners) and {found.inode for found in listeners} <= _sockets(pid, proc)


def port_uids(port: int, proc: Path) -> frozenset[int]:
    """The users who listen on this port, on whatever address."""
    return frozenset(found.uid for found in read_listeners(port, proc))


def find_stranger(target: Target, snapshot: Snapshot, known: frozenset[int], proc: Path) -> Process | None:
    """The vLLM server that listens on the target's port though its pid is not `known`; None where that is not seen.

    Another program there, such as a proxy before the server, is none of our business.
    """
    url = urlsplit(target.url)
    if url.hostname not in _names_of_this_host():
        return None
    open_ = {found.inode for found in read_listeners(url.port or 80, proc)}
    for pid in known:
        open_ -= _sockets(pid, proc) if open_ else set()
    if not open_:
        return None
    others = (p for p in snapshot.processes.values() if p.role == "api_server" and p.pid not in known)
    return next((process for process in others if open_ & _sockets(process.pid, proc)), None)


def read_listeners(port: int, proc: Path) -> list[Listener]:
    """Each listening socket on the port; what cannot be read has none."""
    found: list[Listener] = []
    for name in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        found += [row for line in lines if (row := parse_listener(line, port))]
    return found


def parse_listener(line: str, port: int) -> Listener | None:
    """The listener in one line of /proc/net/tcp, or None when it is none on this port."""
    fields = line.split()
    if len(fields) < 10 or fields[3] != _LISTEN:
        return None
    address, _, number = fields[1].partition(":")
    if int(number, 16) != port:
        return None
    words = bytes.fromhex(address)  # four bytes at a time, each in the machine's own order
    ordered = b"".join(struct.pack("!I", *struct.unpack("=I", words[i : i + 4])) for i in range(0, len(words), 4))
    return Listener(ordered, int(fields[7]), fields[9])


def _forms(address: str) -> tuple[bytes, ...]:
    """The addresses of listeners that a connection to this one may reach: itself, and those that mean all."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address.partition("%")[0])
    mapped = (packed, _MAPPED + packed) if family is socket.AF_INET else (packed, packed.removeprefix(_MAPPED))
    return (*mapped, b"\0" * 4, b"\0" * 16)


def _names_of_this_host() -> frozenset[str]:
    name = socket.gethostname().lower()
    return frozenset({"localhost", "127.0.0.1", "::1", name, name.partition(".")[0]})


def _sockets(pid: int, proc: Path) -> set[str]:
    """The inodes of the sockets that a process holds; none where it may not be looked at."""
    found: set[str] = set()
    try:
        for entry in os.scandir(proc / str(pid) / "fd"):
            leads_to = os.readlink(entry.path)
            if leads_to.startswith("socket:["):
                found.add(leads_to[8:-1])
    except OSError:
        return found
    return found
