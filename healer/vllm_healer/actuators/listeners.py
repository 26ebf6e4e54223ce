"""Tells who listens on a TCP port of this host, by /proc/net/tcp: any user may take a port that is free."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_LISTEN = "0A"  # the state TCP_LISTEN, include/net/tcp_states.h
_MAPPED = b"\0" * 10 + b"\xff\xff"  # before an IPv4 address that is written as IPv6


def is_here(connected: socket.socket) -> bool:
    """True if the other end is on this host: a connection to an address of our own comes from that address."""
    return bool(connected.getpeername()[0] == connected.getsockname()[0])


def listening_uids(connected: socket.socket, proc: Path) -> frozenset[int]:
    """The users whose sockets take connections where this one is connected to; empty when none is of this network."""
    address, port = connected.getpeername()[:2]
    return frozenset(uid for at, uid in read_listeners(port, proc) if at in _forms(address))


def port_uids(port: int, proc: Path) -> frozenset[int]:
    """The users who listen on this port, on whatever address."""
    return frozenset(uid for _, uid in read_listeners(port, proc))


def read_listeners(port: int, proc: Path) -> list[tuple[bytes, int]]:
    """The (address, uid) of each listening socket on the port; what cannot be read has none."""
    found: list[tuple[bytes, int]] = []
    for name in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        found += [row for line in lines if (row := parse_listener(line, port))]
    return found


def parse_listener(line: str, port: int) -> tuple[bytes, int] | None:
    """The (address, uid) in one line of /proc/net/tcp, or None when it is no listener on this port."""
    fields = line.split()
    if len(fields) < 8 or fields[3] != _LISTEN:
        return None
    address, _, number = fields[1].partition(":")
    if int(number, 16) != port:
        return None
    words = bytes.fromhex(address)  # four bytes at a time, each in the machine's own order
    ordered = b"".join(struct.pack("!I", *struct.unpack("=I", words[i : i + 4])) for i in range(0, len(words), 4))
    return ordered, int(fields[7])


def _forms(address: str) -> tuple[bytes, ...]:
    """The addresses of listeners that a connection to this one may reach: itself, and those that mean all."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address.partition("%")[0])
    mapped = (packed, _MAPPED + packed) if family is socket.AF_INET else (packed, packed.removeprefix(_MAPPED))
    return (*mapped, b"\0" * 4, b"\0" * 16)
