"""Checks whether a TCP port is bound by a socket that does not listen yet: vLLM takes its port long before it serves.

/proc/net/tcp has no such sockets. The kernel's socket diagnosis (sock_diag(7)) lists them from Linux 6.8 on.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

SOCK_DIAG_BY_FAMILY = 20
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
BOUND_INACTIVE = 1 << 13  # TCPF_BOUND_INACTIVE in include/net/tcp_states.h; older kernels list nothing for it
NETLINK_SOCK_DIAG = 4
NLMSG_ERROR, NLMSG_DONE = 2, 3
MAX_ANSWER = 1024 * 1024  # bytes: about 10,000 sockets
TIMEOUT = 0.5  # seconds; the kernel answers at once

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_ID = struct.Struct(">HH32x")  # source port, destination port, addresses
_REST = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # any interface, no cookie


def is_bound(port: int) -> bool | None:
    """True if a socket of this network namespace is bound to the port. Returns None when that cannot be known."""
    dumps = [dump_sockets(family, BOUND_INACTIVE) for family in (socket.AF_INET, socket.AF_INET6)]
    answers = [None if dump is None else parse_answer(dump, port) for dump in dumps]
    return None if None in answers else any(answers)


def dump_sockets(family: int, states: int) -> bytes | None:
    """Returns the kernel's messages about the TCP sockets of these states in this network; None when it gives none."""
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, states) + _ID.pack(0, 0) + _REST
    header = _HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, DUMP, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asker:
            asker.settimeout(TIMEOUT)
            asker.send(header + body)
            answer = part = asker.recv(65536)
            while part and not _ends(part) and len(answer) < MAX_ANSWER:
                answer += (part := asker.recv(65536))
            return answer
    except OSError:
        return None


def parse_answer(data: bytes, port: int) -> bool | None:
    """True if the answer has a socket with that source port. None: the kernel refused."""
    found = False
    for kind, socket_of in messages(data):
        if kind == NLMSG_ERROR:
            return None
        found = found or (kind == SOCK_DIAG_BY_FAMILY and source_port(socket_of) == port)
    return found


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the kind and the body of each whole netlink message."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max(_HEADER.size, (length + 3) & ~3)


def source_port(body: bytes) -> int:
    """Returns the port that a socket is bound to, from struct inet_diag_msg; 0 when it is cut short."""
    return int.from_bytes(body[4:6], "big") if len(body) >= 6 else 0


def _ends(part: bytes) -> bool:
    return any(kind in (NLMSG_DONE, NLMSG_ERROR) for kind, _ in messages(part))
