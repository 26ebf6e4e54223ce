"""Pushes events to Loki: limited in memory and time, the oldest given up first, retried with growing pauses.

Push API: POST /loki/api/v1/push, 204 when accepted. 429 and 5xx are tried again, other 4xx are not.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

from vllm_exporter.clock import Clock
from vllm_exporter.config.addresses import split_address
from vllm_exporter.errors import ConfigError
from vllm_exporter.facts.events import Event
from vllm_exporter.log import log
from vllm_exporter.net.http import ClientResponse, Origin, RequestFailed, request
from vllm_exporter.subjects.events.file import format_event

PATH = "/loki/api/v1/push"
TIMEOUT = 5.0  # seconds a push may take
MAX_WAITING = 2000  # events; about 1 MB
MAX_PUSH = 500  # events at once
BACKOFF = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)  # seconds after the first failure, the second …; the last from then on

PushResult = Literal["ok", "failed", "rejected"]
Send = Callable[[bytes], ClientResponse]


@dataclass(frozen=True)
class Waiting:
    """An event that waits, in the form in which it is pushed."""

    labels: tuple[tuple[str, str], ...]
    nanoseconds: int
    line: str


class Loki:
    """One Loki. `offer` and `push` are called from one thread."""

    def __init__(self, send: Send, clock: Clock) -> None:
        self._send = send
        self._clock = clock
        self._waiting: deque[Waiting] = deque()
        self._failures = 0
        self._due = 0.0
        self._problem = ""
        self.dropped = 0
        self.pushes: dict[PushResult, int] = {"ok": 0, "failed": 0, "rejected": 0}

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def offer(self, events: Iterable[Event]) -> None:
        """Puts events into the queue; when it is full the oldest are dropped, and counted."""
        self._waiting.extend(map(prepare, events))
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1

    def push(self) -> None:
        """Pushes the oldest waiting events once, if that is due. Raises nothing; takes TIMEOUT at most."""
        if not self._waiting or self._clock.monotonic() < self._due:
            return
        batch = [self._waiting[at] for at in range(min(MAX_PUSH, len(self._waiting)))]
        result, reason = self._try(format_push(batch))
        self.pushes[result] += 1
        if result == "failed":
            self._due = self._clock.monotonic() + BACKOFF[min(self._failures, len(BACKOFF) - 1)]
            self._failures += 1
        else:
            self._failures = 0
            for _ in batch:
                self._waiting.popleft()
        if result == "rejected":
            self.dropped += len(batch)
        self._tell(reason)

    def _try(self, body: bytes) -> tuple[PushResult, str]:
        try:
            answer = self._send(body)
        except RequestFailed as error:
            return "failed", str(error)
        if answer.status in (200, 204):
            return "ok", ""
        reason = f"status {answer.status}: {answer.body[:200].decode('utf-8', 'replace').strip()}"
        return ("failed" if answer.status == 429 or answer.status >= 500 else "rejected"), reason

    def _tell(self, problem: str) -> None:
        """Logs one line when pushing begins to fail, and when it works again."""
        if problem and not self._problem:
            log("warning", "events cannot be pushed to Loki", reason=problem)
        elif self._problem and not problem:
            log("info", "events are pushed to Loki again")
        self._problem = problem


def prepare(event: Event) -> Waiting:
    """Returns the form to push. Empty labels are left out: Loki has none."""
    labels = (("kind", event.kind), ("model_name", event.model_name), ("server", event.server))
    given = tuple(pair for pair in labels if pair[1])
    return Waiting(given, round(event.time * 1e9), format_event(event).decode())


def format_push(batch: Sequence[Waiting]) -> bytes:
    """Returns the body: a stream for each set of labels, its lines in the order of their times."""
    streams: dict[tuple[tuple[str, str], ...], list[tuple[int, str]]] = {}
    for one in batch:
        streams.setdefault(one.labels, []).append((one.nanoseconds, one.line))
    data = [
        {"stream": dict(labels), "values": [[str(at), line] for at, line in sorted(lines, key=itemgetter(0))]}
        for labels, lines in streams.items()
    ]
    return json.dumps({"streams": data}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def parse_url(url: str) -> tuple[bool, str, int, str]:
    """Returns (TLS, host, port, path) of http://loki:3100 or of a full push address. Raises ConfigError."""
    if "@" in url:  # it is repeated in messages, so it is not shown here either
        raise ConfigError(
            "collectors.events.loki_url holds a user or a password; leave them out, and name a file with a token in "
            "loki_token_file"
        )
    scheme, found, rest = url.partition("://")
    if not found or scheme not in ("http", "https"):
        raise ConfigError(f"collectors.events.loki_url: {url!r} is not an address; write http://host:port")
    address, slash, path = rest.partition("/")
    if ":" not in address.rpartition("]")[2]:
        address += ":443" if scheme == "https" else ":80"
    host, port = split_address(address, f"collectors.events.loki_url {url!r}", "http://localhost:3100")
    return scheme == "https", host, port, f"{slash}{path}" if path else PATH


def sender(url: str, tenant: str = "", token_file: str = "", ca_file: str = "") -> Send:
    """Returns a function that sends a body to the Loki at `url`. Raises ConfigError."""
    tls, host, port, path = parse_url(url)
    origin = Origin(host, port, tls, ca_file, token_file)
    headers = {"X-Scope-OrgID": tenant} if tenant else {}
    return lambda body: request(origin, "POST", path, TIMEOUT, body, headers)
