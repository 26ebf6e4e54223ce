"""Orders by a Unix socket beside the journal: a way for people that no alert and no stranger can fill.

One line of JSON each way: {"verb": "pause", "words": "who: why"} is answered with {"paused": "who: why"}, or with
{"error": "what is wrong"}. `approve` and `refuse` have the number of a request, too: {"approval": 3}; `maintenance` has
`about` (all, server NAME or pool NAME) and `seconds`, 0 to end it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from vllm_healer import unix_socket
from vllm_healer.errors import BadPayload, JournalError
from vllm_healer.ledger import Consent
from vllm_healer.model import Instant
from vllm_healer.web.deps import WebDeps

log = logging.getLogger(__name__)

SECONDS = 2.0  # for a client to say what it wants
LONGEST = 30 * 86400.0  # seconds of maintenance; what is longer belongs into healer.yml
LINE = 4096  # bytes; the journal keeps 500 characters of the words


class Control:
    """Serves the socket in a thread of its own, one client after the other."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps
        self._path = unix_socket.beside(deps.config.journal)
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Listens. The healer runs without a socket too: pause and resume then come over HTTP."""
        try:
            self._listener = unix_socket.listen(self._path)
        except OSError as error:
            log.warning("no socket %s for pause and resume: %s; they come over HTTP", self._path, error.strerror)
            return
        threading.Thread(target=self._serve, args=(self._listener,), name="control", daemon=True).start()

    def close(self) -> None:
        """Ends it and takes the socket away. May be called twice."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            self._listener.close()
            self._path.unlink(missing_ok=True)
        self._listener = None

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            if unix_socket.peer(connection) not in (0, os.geteuid()):
                return
            connection.settimeout(SECONDS)
            with connection.makefile("rb") as lines:
                answer = self._do(lines.readline(LINE))
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError as error:
            log.info("a client of %s went away: %s", self._path, error)

    def _do(self, line: bytes) -> dict[str, str]:
        try:
            asked = json.loads(line)
            verb, words = str(asked["verb"]), str(asked["words"])
            number, about, seconds = int(asked.get("approval", 0)), asked.get("about", ""), asked.get("seconds", 0)
            if verb == "maintenance":
                check_maintenance(about, seconds)
        except BadPayload as error:
            return {"error": str(error)}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {"error": "expected one line of JSON with verb and words"}
        journal = self._deps.journal
        orders: dict[str, Callable[[str, Instant], None]] = {
            "pause": journal.pause,
            "resume": journal.resume,
            "approve": partial(journal.answer, number, Consent.APPROVED),
            "refuse": partial(journal.answer, number, Consent.REFUSED),
            "maintenance": partial(journal.maintain, about, seconds),
        }
        order = orders.get(verb)
        if order is None:
            return {"error": "unknown verb; known: pause, resume, approve, refuse, maintenance"}
        try:
            order(words, self._deps.clock.now())
            self._deps.worker.wake()
            return {"paused": self._deps.journal.paused()}
        except JournalError as error:
            return {"error": str(error)}


def check_maintenance(about: object, seconds: object) -> None:
    """Raises BadPayload for what is no order about maintenance."""
    if not isinstance(about, str) or not re.fullmatch(r"all|(server|pool) \S.{0,200}", about):
        raise BadPayload("about must be all, server NAME or pool NAME")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST:
        raise BadPayload(f"seconds must be a number from 0, which ends it, to {LONGEST:.0f}")
