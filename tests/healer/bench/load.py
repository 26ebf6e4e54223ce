"""Alertmanager's side of a load: notifications made beforehand, sent over kept connections, each answer timed."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

SERVERS = tuple(f"bench{number}:8000" for number in range(200))  # listed: 50 alerts of each are held, 10,000 in all
AGAIN = 0.2  # seconds after a 503
PATIENCE = 60.0  # seconds for one answer


@dataclass(frozen=True)
class Request:
    body: bytes
    keys: tuple[tuple[str, bool], ...]  # fingerprint and whether it fires, of each alert


@dataclass
class Outcome:
    """What came of a load. Threads add to it."""

    seconds: list[float] = field(default_factory=list)  # from when a request was due to its 2xx
    acknowledged: list[tuple[str, bool]] = field(default_factory=list)
    refused: int = 0  # answers of 503, after each of which the request was sent again
    left_out: int = 0
    took: float = 0.0


def firing(count: int, per_request: int, name: str) -> Iterator[Request]:
    """Requests with `count` alerts that never fired before, one server after the other."""
    for start in range(0, count, per_request):
        yield _request([(f"{name}-{number}", True, number) for number in range(start, min(count, start + per_request))])


def coming_and_going(per_request: int, name: str) -> Iterator[Request]:
    """Requests without end: half of each fires for the first time, half ends what fired ten requests before."""
    half = per_request // 2
    for number in itertools.count():
        new = range(number * half, (number + 1) * half)
        old = [one - 10 * half for one in new if one >= 10 * half]
        yield _request([*((f"{name}-{n}", True, n) for n in new), *((f"{name}-{n}", False, n) for n in old)])


def send(port: int, token: str, requests: Iterator[Request], connections: int, seconds: float, rate: float) -> Outcome:
    """Sends until `requests` or the seconds end; `rate` requests a second, 0: each as soon as the last is answered.

    A request's time counts from when it was due, not from when a connection was free for it.
    """
    outcome, gate = Outcome(), threading.Lock()
    started = time.monotonic()

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with gate:
                    number, request = next(numbered, (0, None))
                due = started + number / rate if rate else time.monotonic()
                if request is None or due >= started + seconds:
                    return
                time.sleep(max(0.0, due - time.monotonic()))
                _deliver(connection, token, request, due, outcome)

    numbered = enumerate(requests)
    _all(work, connections)
    outcome.took = time.monotonic() - started
    return outcome


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[max(0, -int(-len(values) * share // 1) - 1)]


def _deliver(connection: socket.socket, token: str, request: Request, due: float, outcome: Outcome) -> None:
    head = f"POST /alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    message = f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body
    while True:
        connection.sendall(message)
        status, answer = _read_answer(connection)
        if status == 200:
            break
        if status != 503:
            raise RuntimeError(f"the healer answered {status}: {answer[:200]!r}")
        outcome.refused += 1
        time.sleep(AGAIN)
    outcome.seconds.append(time.monotonic() - due)
    outcome.acknowledged += request.keys
    if b"left_out" in answer:
        outcome.left_out += int(json.loads(answer)["left_out"])


def _read_answer(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += _more(connection)
    return int(head[9:12]), body


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise RuntimeError("the healer closed a connection without an answer")
    return received


def _request(alerts: Sequence[tuple[str, bool, int]]) -> Request:
    body = {"version": "4", "status": "firing", "receiver": "healer", "alerts": [_alert(*one) for one in alerts]}
    return Request(json.dumps(body).encode(), tuple((fingerprint, fires) for fingerprint, fires, _ in alerts))


def _alert(fingerprint: str, fires: bool, number: int) -> dict[str, object]:
    """About as large as those of this project: 700 bytes."""
    server = SERVERS[number % len(SERVERS)]
    labels = {"alertname": "Bench", "server": server, "model": "org/model-7b", "severity": "warning", "job": "exporter"}
    words = f"The server {server} does what a benchmark does, and this sentence is as long as such sentences are."
    return {
        "status": "firing" if fires else "resolved",
        "labels": {**labels, "component": "engine", "failure_mode": "bench", "instance": "127.0.0.1:9855"},
        "annotations": {"summary": "A benchmark alert", "description": words, "runbook_url": "https://example.org/x"},
        "startsAt": "2026-11-30T12:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=vllm_server_stalled&g0.tab=1",
        "fingerprint": fingerprint,
    }


def _all(work: Callable[[], None], threads: int) -> None:
    """Runs it in so many threads; the first error is raised."""
    errors: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
            errors.append(error)

    running = [threading.Thread(target=guarded) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]
