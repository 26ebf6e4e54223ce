"""Free loopback ports for tests."""

from __future__ import annotations

import random
import socket

# Below the range from which Linux takes a client's own port (32768 on, ip_local_port_range): a port from there may be
# taken by any connection between the moment it is found free and the moment a server listens on it.
FIRST, LAST = 10_240, 32_000
TRIES = 200


def free_port() -> int:
    """A port where nobody listens."""
    return free_ports(1)


def free_ports(number: int) -> int:
    """The first of as many ports that follow each other. They are random, so that test runs beside this one differ."""
    for _ in range(TRIES):
        first = random.randrange(FIRST, LAST - number)
        if all(map(is_free, range(first, first + number))):
            return first
    raise AssertionError(f"no {number} free ports between {FIRST} and {LAST} in {TRIES} tries")


def is_free(port: int) -> bool:
    """Whether a server could listen there now, on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
