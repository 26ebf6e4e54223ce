"""Counts the connections that wait to be accepted: a server that accepts none for minutes does nothing.

A saturated event loop is late, but takes all that wait in each of its rounds, so that the queue falls.
"""

from __future__ import annotations

import socket
import struct

from vllm_exporter.linux.bound_ports import SOCK_DIAG_BY_FAMILY, dump_sockets, messages, source_port

LISTEN = 1 << 10  # TCPF_LISTEN in include/net/tcp_states.h
_QUEUE = struct.Struct("=II")  # of struct inet_diag_msg, for a listening socket: waiting, and how many may
_QUEUE_AT = 56


def unaccepted(port: int) -> int | None:
    """Returns the connections that wait on this port of this network, over all sockets that listen on it.

    None when nobody is seen to listen there, or when a queue is full: then it cannot grow, and shows nothing.
    """
    answers = [parse_queues(dump_sockets(family, LISTEN) or b"", port) for family in (socket.AF_INET, socket.AF_INET6)]
    queues = [queue for answer in answers for queue in answer]
    if not queues or any(waiting >= limit for waiting, limit in queues):
        return None
    return sum(waiting for waiting, _ in queues)


def parse_queues(data: bytes, port: int) -> list[tuple[int, int]]:
    """Returns (waiting, limit) of each socket that listens on the port."""
    return [
        _QUEUE.unpack_from(body, _QUEUE_AT)
        for kind, body in messages(data)
        if kind == SOCK_DIAG_BY_FAMILY and source_port(body) == port and len(body) >= _QUEUE_AT + _QUEUE.size
    ]
