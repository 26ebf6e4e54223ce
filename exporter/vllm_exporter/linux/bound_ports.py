"""Checks whether a TCP port is bound by a socket that does not listen yet: vLLM takes its port long before it serves.

/proc/net/tcp has no such sockets. The kernel's socket diagnosis (sock_diag(7)) lists them from Linux 6.8 on.
"""

from __future__ import annotations

import socket
import struct

SOCK_DIAG_BY_FAMILY = 20
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
BOUND_INACTIVE = 1 << 13  # TCPF_BOUND_INACTIVE in include/net/tcp_states.h; older kernels list nothing for it
NETLINK_SOCK_DIAG = 4
NLMSG_ERROR = 2
TIMEOUT = 0.5  # seconds; the kernel answers at once

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_ID = struct.Struct(">HH32x")  # source port, destination port, addresses
_REST = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # any interface, no cookie


def is_bound(port: int) -> bool | None:
    """True if a socket of this network namespace is bound to the port. Returns None when that cannot be known."""
    answers = [_ask(family, port) for family in (socket.AF_INET, socket.AF_INET6)]
    return None if None in answers else any(answers)


def _ask(family: int, port: int) -> bool | None:
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, BOUND_INACTIVE) + _ID.pack(port, 0) + _REST
    header = _HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, DUMP, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asker:
            asker.settimeout(TIMEOUT)
            asker.send(header + body)
            return parse_answer(asker.recv(65536), port)
    except OSError:
        return None


def parse_answer(data: bytes, port: int) -> bool | None:
    """True if the first part of the answer has a socket with that source port. None: the kernel refused."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if kind == NLMSG_ERROR:
            return None
        if kind == SOCK_DIAG_BY_FAMILY and struct.unpack_from(">H", data, at + _HEADER.size + 4)[0] == port:
            return True
        at += max(_HEADER.size, (length + 3) & ~3)
    return False
