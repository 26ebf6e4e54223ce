"""Looks up host names with a deadline: getaddrinfo has none and may block for as long as the resolver likes.

The healer has a dns.py of its own, which keeps no answer: it asks seldom, and a server that it healed may have moved.
"""

from __future__ import annotations

import socket
import threading
import time

LIFETIME = 30.0  # seconds an answer is kept: a name that is needed every second would cost a thread each time

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


class _Question:
    """One lookup in its own thread; several callers may wait for it."""

    def __init__(self, host: str, port: int) -> None:
        self.done = threading.Event()
        self.addresses: list[Address] = []
        self.error: OSError | None = None
        self.answered_at = 0.0
        threading.Thread(target=self._ask, args=(host, port), name=f"dns-{host}", daemon=True).start()

    def fresh(self) -> bool:
        """True if it is still under way, or was answered with addresses in the last LIFETIME seconds."""
        if not self.done.is_set():
            return True
        return self.error is None and time.monotonic() - self.answered_at < LIFETIME

    def _ask(self, host: str, port: int) -> None:
        try:
            self.addresses = _ask(host, port)
        except OSError as error:
            self.error = error
        self.answered_at = time.monotonic()
        self.done.set()


_questions: dict[tuple[str, int], _Question] = {}  # at most one per target
_lock = threading.Lock()


def lookup(host: str, port: int, deadline: float) -> list[Address]:
    """Returns a host's addresses. Raises TimeoutError at `deadline` (monotonic), OSError when the name is not found."""
    numeric = _numeric(host, port)
    if numeric is not None:
        return [numeric]
    with _lock:
        question = _questions.get((host, port))
        if question is None or not question.fresh():
            question = _questions[(host, port)] = _Question(host, port)
    if not question.done.wait(max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    if question.error is not None:
        raise OSError(f"cannot look up {host}: {question.error.strerror}")
    return question.addresses


def _numeric(host: str, port: int) -> Address | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, UnicodeEncodeError):
            continue
        return family, (host, port)
    return None


def _ask(host: str, port: int) -> list[Address]:
    """Passes the name as bytes: for text, getaddrinfo loads the idna codec, which costs 1 MiB."""
    try:
        name = host.encode("ascii")
    except UnicodeEncodeError:
        raise OSError(0, "not an ASCII name") from None
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found if isinstance(address[0], str)]
