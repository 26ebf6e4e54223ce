"""Real simulated servers for tests, and a plain HTTP client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE
from tests.ports import free_port, free_ports

CHECKOUT = Path(__file__).resolve().parents[2]
LOOK = 10.0  # seconds for one look among many; much less than what is waited for in all
QUICK = ("--speed", "8", "--start-seconds", "0.8", "--step-base", "0.016")  # vLLM's 4 s until the end take 0.5 s


@dataclass
class Running:
    """A started simulator."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    tree: tuple[int, ...] = field(default=())

    def get(self, path: str, timeout: float = PATIENCE) -> tuple[int, str]:
        return request(self.port, "GET", path, timeout=timeout)

    def post(self, path: str, body: object, timeout: float = PATIENCE) -> tuple[int, str]:
        return request(self.port, "POST", path, json.dumps(body).encode(), timeout)

    def complete(self, timeout: float = PATIENCE, **asked: Any) -> tuple[int, str]:
        return self.post("/v1/completions", {"model": "sim", "prompt": "a word", "max_tokens": 2, **asked}, timeout)

    def health(self) -> int:
        """0 when nothing answers."""
        try:
            return self.get("/health", LOOK)[0]
        except OSError:
            return 0

    def value(self, series: str) -> float:
        """Of a line of /metrics that begins so."""
        lines = self.get("/metrics")[1].splitlines()
        return float(next(line for line in lines if line.startswith(series)).split()[-1])

    def break_(self, how: str) -> tuple[int, str]:
        return self.post("/sim/break", {"how": how})

    def words(self) -> str:
        return self.log.read_text()


def request(port: int, method: str, path: str, body: bytes = b"", timeout: float = PATIENCE) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def serving(directory: Path, *options: str) -> Iterator[Running]:
    """One server with its processes; ended with all of them."""
    port = free_port()
    words = ["serve", "--port", str(port), *QUICK, *options]
    with _started(directory, port, words) as running:
        until("the server is ready", lambda: running.health() == 200)
        running.tree = tree(running.process.pid)
        try:
            yield running
        finally:
            for pid in (*running.tree, *tree(running.process.pid)):
                kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def starting(directory: Path, port: int, *options: str) -> Iterator[Running]:
    """A server that need not become ready."""
    with _started(directory, port, ["serve", "--port", str(port), *QUICK, *options]) as running:
        try:
            yield running
        finally:
            for pid in tree(running.process.pid):
                kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def fleet(directory: Path, servers: int, *options: str) -> Iterator[Running]:
    port = free_ports(servers)
    words = ["fleet", "--servers", str(servers), "--first-port", str(port), "--start-seconds", "0", *options]
    with _started(directory, port, words) as running:
        until("the last server is ready", lambda: _answers(port + servers - 1) or _ended(running))
        yield running


@contextlib.contextmanager
def _started(directory: Path, port: int, words: list[str]) -> Iterator[Running]:
    log = directory / f"{port}.log"
    with log.open("a") as out:
        process = subprocess.Popen([sys.executable, "-m", "deploy.simulator", *words], cwd=CHECKOUT, stdout=out,
                                   stderr=subprocess.STDOUT, text=True)  # fmt: skip
    try:
        yield Running(process, port, log)
    finally:
        kill(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait(PATIENCE)


def until(what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)  # real programs, some with a time of their own


def tree(pid: int) -> tuple[int, ...]:
    """The process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return tuple(found)


def title(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ended(running: Running) -> bool:
    """Never True: a program that has ended never becomes ready, and its last words say why."""
    assert running.process.poll() is None, f"the simulator ended: {running.words()[-2000:]}"
    return False


def _answers(port: int) -> bool:
    try:
        return request(port, "GET", "/health", timeout=LOOK)[0] == 200
    except OSError:
        return False


def mend(state: Path) -> None:
    """From outside, as for a server that does not come up."""
    words = [sys.executable, "-m", "deploy.simulator", "mend", "--state", str(state)]
    subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, timeout=PATIENCE)
