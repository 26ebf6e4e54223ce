"""Clients that mean harm, and how to measure what an honest one gets meanwhile."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import requests

HEADERS = b"GET / HTTP/1.1\r\nX: "  # never ends
BODY = b"POST /alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 10485000\r\n\r\n"  # 10 MB, and no token
FULL = 10_484_000  # bytes of it that are sent at once


@contextlib.contextmanager
def slow_clients(port: int, number: int, start: bytes, more: int = 0) -> Iterator[None]:
    """That many connections that send `start`, `more` bytes and then one a second each."""
    clients: list[socket.socket] = []
    ended = threading.Event()

    def connect() -> None:
        for _ in range(number):
            with contextlib.suppress(OSError):
                client = socket.create_connection(("127.0.0.1", port), timeout=5)
                client.sendall(start)
                clients.append(client)
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(b"x" * more)
        while not ended.wait(1.0):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"a")

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
        for client in clients:
            client.close()


def strangers(first: int, number: int, size: int) -> bytes:
    """A webhook with alerts of servers that nobody listed; `size`: characters of each one's summary."""
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "Flood", "server": f"stranger-{n}:1", "severity": "critical"},
            "annotations": {"summary": "x" * size},
            "startsAt": "2026-03-01T12:00:05.000Z",
            "fingerprint": f"{n:016x}",
        }
        for n in range(first, first + number)
    ]
    return json.dumps({"version": "4", "alerts": alerts}).encode()


@dataclass
class Honest:
    """Asks the pages that monitors read, all the time, on new connections; seconds that each answer took."""

    url: str
    paths: tuple[str, ...]
    answers: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def ask(self) -> None:
        for path in self.paths:
            began = time.monotonic()
            try:
                status = requests.get(self.url + path, timeout=10).status_code
            except requests.RequestException as error:
                self.failures.append(f"{path}: {type(error).__name__}")
                continue
            self.answers.setdefault(path, []).append(time.monotonic() - began)
            if status != 200:
                self.failures.append(f"{path}: {status}")

    def slowest(self) -> float:
        return max((seconds for found in self.answers.values() for seconds in found), default=0.0)

    @contextlib.contextmanager
    def watching(self, pause: float = 0.25) -> Iterator[Honest]:
        """Asks in a thread of its own until the block ends."""
        ended = threading.Event()

        def go_on() -> None:
            while not ended.wait(pause):
                self.ask()

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join(30)


def mebibytes(pid: int) -> float:
    """Resident memory of a process."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def cpu_share(pid: int, seconds: float) -> float:
    """The share of one core that a process takes for so long."""
    process = psutil.Process(pid)

    def spent() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    before = spent()
    time.sleep(seconds)
    return (spent() - before) / seconds


def seconds_of(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began
