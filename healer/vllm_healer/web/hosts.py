"""Tells whether a request was meant for this healer: a page on the internet may have a name that leads to loopback."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

# Endings that no name on the internet has: RFC 6761, /etc/hosts of Red Hat, and ICANN's own for private use, as in
# host.docker.internal, by which containers reach their host's loopback.
RESERVED = (".localhost", ".localdomain", ".internal")


def is_own_host(header: str, listen: str, hostname: str = "") -> bool:
    """True for a Host header that no stranger can own: an address, this machine's name, the name of `listen`, a name
    without a dot, such as localhost or that of a container, and one under a reserved ending."""
    try:
        host = (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return False
    own = {listen.rpartition(":")[0].strip("[]").lower(), (hostname or socket.gethostname()).lower()}
    return host in own or "." not in host or host.endswith(RESERVED) or _is_address(host)


def is_loopback(listen: str) -> bool:
    """True where only this machine reaches the healer."""
    host = listen.rpartition(":")[0].strip("[]").lower()
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
