"""Looks up host names with a deadline: getaddrinfo has none and may block for as long as the resolver likes.

The exporter has a dns.py of its own, which keeps answers for a while and imports less: it asks each second.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from typing import Any

Address = tuple[socket.AddressFamily, Any]  # what connect() of such a socket takes


class _Question:
    """One lookup in a thread of its own; several callers may wait for it."""

    def __init__(self, host: str, port: int) -> None:
        self.done = threading.Event()
        self.addresses: list[Address] = []
        self.error: OSError | None = None
        threading.Thread(target=self._ask, args=(host, port), name=f"dns-{host}", daemon=True).start()

    def _ask(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self.addresses = [(family, address) for family, _, _, _, address in found]
        except UnicodeError:  # a label of more than 63 characters, or an empty one
            self.error = OSError(errno.EINVAL, "not a host name")
        except OSError as error:
            self.error = error
        self.done.set()


_under_way: dict[tuple[str, int], _Question] = {}  # at most one thread a name, however long its resolver takes
_lock = threading.Lock()


def lookup(host: str, port: int, deadline: float) -> list[Address]:
    """A host's addresses. Raises TimeoutError at `deadline` (monotonic), OSError when the name is not found."""
    numeric = _numeric(host, port)
    if numeric is not None:
        return [numeric]
    with _lock:
        question = _under_way.get((host, port))
        if question is None or question.done.is_set():
            question = _under_way[(host, port)] = _Question(host, port)
    if not question.done.wait(max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    if question.error is not None:
        raise OSError(errno.EHOSTUNREACH, f"cannot look up {host}: {question.error.strerror}")
    return question.addresses


def _numeric(host: str, port: int) -> Address | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, UnicodeEncodeError):
            continue
        return family, (host, port)
    return None
