"""A real vLLM that is brought into each state which hang-report has to tell, and the report on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.harness import httpio
from tests.e2e.harness.load import Load
from tests.e2e.harness.processes import Part, descendants
from tests.e2e.harness.vllm_server import SLOW_STEPS, VllmServer
from tests.e2e.harness.waiting import until

SETTLE = 30.0  # seconds for a state to show in the server's metrics
BACK = 90.0  # seconds until it completes a request again: a long prefill goes on for some steps after its client left


@dataclass(frozen=True)
class State:
    """What is done to the server, and what the report has to say of it."""

    cause: str
    enter: Callable[[VllmServer, int], AbstractContextManager[None]]  # with the pid of the API server


@contextmanager
def running_server(script: Path, port: int, folder: Path) -> Iterator[tuple[VllmServer, int]]:
    """In dev mode, with steps of 3 s for chunks of 60 tokens and more, and a batch of 16. Also the API server's pid."""
    env = {
        "PYTHONPATH": str(SLOW_STEPS),
        "SLOW_STEPS_SECONDS": "3",
        "SLOW_STEPS_TOKENS": "60",
        "VLLM_SERVER_DEV_MODE": "1",
    }
    server = VllmServer(script, port, ("--max-num-seqs", "16", "--max-num-batched-tokens", "64"), env)
    command = ["/bin/bash", str(script), "serve", *server.args]
    own = {"HOST": "127.0.0.1", "PORT": str(port), **env}
    part = Part("vllm", command, folder / "vllm.log", {**os.environ, **own}, folder)
    part.start()
    try:
        server.wait_ready()
        yield server, part.pid
    finally:
        part.stop()


def report(port: int, seconds: float = 10.0) -> dict[str, Any]:
    """What `vllm-exporter hang-report` says of the server, as its own process and without a running exporter."""
    command = [sys.executable, "-m", "vllm_exporter.cli", "hang-report", "--json", "--seconds", str(seconds)]
    env = {**os.environ, "VLLM_TARGETS": f"127.0.0.1:{port}"}
    done = subprocess.run(
        [*command, "--listen", "127.0.0.1:1"], capture_output=True, text=True, env=env, timeout=120, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found[0]


@contextmanager
def busy(server: VllmServer, pid: int) -> Iterator[None]:
    with Load(server.port, clients=6, seconds=120, prompt_tokens=4, max_tokens=200):
        until("requests to run", lambda: gauge(server, "running") > 0, SETTLE)
        yield


@contextmanager
def overloaded(server: VllmServer, pid: int) -> Iterator[None]:
    """Four times as many clients as the batch holds; their prompts are too short for a slow step.

    Their answers are long: on a fast machine the queue is empty for seconds when all clients have one at once.
    """
    with Load(server.port, clients=64, seconds=120, prompt_tokens=2, max_tokens=900):
        until("a queue", lambda: gauge(server, "waiting") > 20, SETTLE)
        yield


@contextmanager
def prefilling(server: VllmServer, pid: int) -> Iterator[None]:
    """930 tokens in 15 steps of 64: no output for 45 s, and a canary would wait as long."""
    with Load(server.port, clients=1, seconds=120, prompt_tokens=930, max_tokens=5, once=True):
        until("the prefill to begin", lambda: gauge(server, "running") > 0, SETTLE)
        yield


@contextmanager
def paused(server: VllmServer, pid: int) -> Iterator[None]:
    """With requests in flight, which freeze."""
    with Load(server.port, clients=2, seconds=120, prompt_tokens=4, max_tokens=500):
        until("requests to run", lambda: gauge(server, "running") > 0, SETTLE)
        post(server, "/pause?mode=keep")
        try:
            yield
        finally:
            post(server, "/resume")


@contextmanager
def asleep(server: VllmServer, pid: int) -> Iterator[None]:
    post(server, "/sleep?level=1")
    try:
        yield
    finally:
        post(server, "/wake_up")


@contextmanager
def stopped(server: VllmServer, pid: int) -> Iterator[None]:
    worker = next(child.pid for child in descendants(pid) if b"VLLM::Worker" in cmdline(child.pid))
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


STATES: dict[str, State] = {
    "healthy and busy": State("no_hang", busy),
    "overload": State("overload", overloaded),
    "paused": State("paused", paused),
    "sleeping": State("sleeping", asleep),
    "stopped worker": State("stopped_worker", stopped),
    "long prefill": State("long_prefill", prefilling),
}


def report_on(state: State, server: VllmServer, pid: int) -> dict[str, Any]:
    """The report while the server is in the state; afterwards it works again."""
    with state.enter(server, pid):
        found = report(server.port)
    until("the server to work again", server.completes, BACK)
    return found


def gauge(server: VllmServer, name: str) -> float:
    return server.progress().get(f"vllm:num_requests_{name}", 0.0)


def post(server: VllmServer, path: str) -> None:
    status, text = httpio.post_json(f"{server.url}{path}", {}, timeout=30)
    assert status == 200, f"POST {path}: {status} {text[:200]}"


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
