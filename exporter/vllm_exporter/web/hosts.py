"""Decides whether a request that came over loopback was meant for this host, by its Host header. Pure.

A page of any web site may give its own name the address 127.0.0.1 and then read what listens there (DNS rebinding); the
browser still says the site's name. Names that nobody outside can own are this host's: addresses, names without a dot,
and those that end as only local ones do.
"""

from __future__ import annotations

from collections.abc import Iterable

# RFC 6761 and 6762, ICANN's .internal (host.docker.internal), and the names of a Kubernetes cluster.
LOCAL_ENDS = (".localhost", ".local", ".internal", ".svc", ".home.arpa")


class OwnHosts:
    """The names of this host."""

    def __init__(self, hostname: str, more: Iterable[str] = ()) -> None:
        """`more` are names that only the configuration knows, as behind a proxy that passes the Host header on."""
        self._names = frozenset(name.lower() for name in (hostname, *more) if name)

    def is_own(self, header: str | None) -> bool:
        """True for a Host header that names this host, and without one: browsers always send it."""
        if header is None:
            return True
        name = host_of(header)
        return name in self._names or is_local(name)


def host_of(header: str) -> str:
    """Returns the host in lower case, without port, brackets and the dot at its end."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].strip().lower().removesuffix(".")


def is_local(name: str) -> bool:
    """True for a name that no web site can have."""
    address = ":" in name or name.replace(".", "").isdigit()
    return address or "." not in name or name.endswith(LOCAL_ENDS)


def is_loopback(address: str) -> bool:
    """True for the address of a socket by which only this host is reached."""
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"
