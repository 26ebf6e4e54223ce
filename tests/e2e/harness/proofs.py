"""Faults of real servers beside the real exporter and the real Prometheus: how long until the alert fires that tells.

A scene has several faults at the same time, each in a server of its own, because most of the time is waiting.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness import httpio
from tests.e2e.harness.load import Load
from tests.e2e.harness.processes import Part, descendants, tail
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.vllm_server import START_TIMEOUT, VllmServer
from tests.e2e.harness.waiting import until
from tests.ports import free_port

EVERY = 0.25  # seconds between two questions to Prometheus: the resolution of all times
AT_ONCE = 2  # starts: each takes a core
WEDGE = Path(__file__).with_name("wedge")

_EXPORTER = """\
probe: {{warmup_seconds: 10}}  # the tiny model compiles nothing
collectors:
  logs: {{sources: [{sources}]}}
"""


@dataclass(frozen=True)
class Proof:
    """An alert that fired for a fault. `beside`: which others fired for this server since it broke."""

    mode: str
    fault: str
    alert: str
    seconds: float
    beside: frozenset[str]

    def words(self) -> str:
        others = f"; beside it {', '.join(sorted(self.beside))}" if self.beside else ""
        return f"{self.mode} {self.fault}: {self.alert} after {self.seconds:.0f} s{others}"


@dataclass
class Firing:
    """What fires in Prometheus, asked all the time: which alert since when, and what ever fired."""

    stack: Stack
    since: dict[tuple[str, str], float] = field(default_factory=dict)  # by alert and server, in monotonic seconds
    ever: list[tuple[float, str, str]] = field(default_factory=list)  # the moment, the alert, the server

    @contextmanager
    def watching(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(10)

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(EVERY):
            firing, now = self.stack.firing(), time.monotonic()
            for new in firing - self.since.keys():
                self.ever.append((now, *new))
            self.since = {one: self.since.get(one, now) for one in firing}


class Subject:
    """The server of one fault."""

    def __init__(self, stage: Stage, fault: str, port: int) -> None:
        self.stage = stage
        self.fault = fault
        self.port = port
        self.name = f"{socket.gethostname()}:{port}"
        self.folder = stage.stack.run / fault
        self.folder.mkdir()
        self.home = self.folder / "home"  # of a vLLM that is not as it should be
        self.log = stage.logs[port]
        self.ends = ExitStack()
        self._part: Part | None = None
        self._broke = 0.0

    @property
    def pid(self) -> int:
        return self._part.pid if self._part else 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *args: str, env: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> None:
        """Only starts it. `before`: a command that ends in starting the rest, such as a shell's `exec "$@"`."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        cores = {"VLLM_CPU_OMP_THREADS_BIND": "0|1" if "2" in args else str(self.port % 2)}
        own = {"HOST": "127.0.0.1", "PORT": str(self.port), "WEDGE_DIR": str(self.folder), **cores, **(env or {})}
        command = [*before, "/bin/bash", str(self.stage.script), "serve", *args]
        self._part = Part(self.fault, command, self.log, {**kept, **own}, self.folder)
        self._part.start()
        self.ends.callback(self._part.stop)

    def fails(self, *args: str, env: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> None:
        """Starts it and waits until it has ended. The fault begins with the start."""
        with self.stage.starting:
            self.breaks()
            self.start(*args, env=env, before=before)
            self.wait_ended()

    def comes_up(self, *args: str, env: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> None:
        """Starts it and waits until it serves."""
        with self.stage.starting:
            self.start(*args, env=env, before=before)
            until(f"{self.fault} to be ready", self._is_ready, START_TIMEOUT)

    def serves(self, *args: str, env: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> None:
        """Starts it and waits until it serves, and the exporter judges it as usual."""
        self.comes_up(*args, env=env, before=before)
        until(f"the warm-up of {self.fault} to end", self._is_warm, 120)

    def recovers(self) -> None:
        """Waits until it answers again."""
        until(f"{self.fault} to answer", VllmServer(self.stage.script, self.port).completes, 60)

    def breaks(self) -> None:
        """Now."""
        self._broke = time.monotonic()

    def shows(self, mode: str, alert: str, within: float, of_host: bool = False) -> None:
        """Waits until the alert fires. Raises AssertionError when it fired before the fault."""
        wanted = (alert, "" if of_host else self.name)
        firing = self.stage.firing
        until(f"{alert} of {self.fault}", lambda: wanted in firing.since, within + self._broke - time.monotonic())
        seconds = firing.since[wanted] - self._broke
        assert seconds >= 0, f"{alert} fired {-seconds:.0f} s before {self.fault}"
        beside = {one for at, one, server in firing.ever if at >= self._broke and server == self.name} - {alert}
        self.stage.add(Proof(mode, self.fault, alert, seconds, frozenset(beside)))

    def loaded(self, clients: int, prompt_tokens: int = 20, max_tokens: int = 200) -> None:
        """Has that many clients from now on."""
        self.ends.enter_context(Load(self.port, clients, 600, prompt_tokens, max_tokens))
        server = VllmServer(self.stage.script, self.port)
        until("requests to run", lambda: server.progress().get("vllm:num_requests_running"), 60)

    def ask(self, path: str, headers: Mapping[str, str] | None = None, **body: object) -> int:
        """The HTTP status of a POST, 0 without an answer."""
        return httpio.post_json(f"{self.url}{path}", body, dict(headers or {}), timeout=10)[0]

    def holds(self, path: str, **body: object) -> None:
        """Sends a POST and waits for no answer; the connection is kept until the end."""
        client = self.ends.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=10))
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    def child(self, title: str) -> int:
        """The process id of the first process below it whose title begins so, once there is one."""

        def find() -> int:
            return next((one.pid for one in descendants(self.pid) if _title(one.pid).startswith(title)), 0)

        return until(f"{title} of {self.fault}", find, START_TIMEOUT)

    def wait_ended(self) -> None:
        part = self._part
        assert part is not None
        until(f"{self.fault} to end", lambda: not part.is_alive(), START_TIMEOUT)

    def _is_ready(self) -> bool:
        assert self._part is not None
        assert self._part.is_alive(), f"{self.fault} has ended\n{tail(self.log)}"
        return httpio.status(f"{self.url}/health", 2) == 200

    def _is_warm(self) -> bool:
        ready, limit = (
            self.stage.stack.exported(f"vllm_server_{name}", self.name) for name in ("ready", "stall_limit_seconds")
        )
        return ready == 1 and limit is not None and limit < 300


Fault = Callable[[Subject], None]


@dataclass(frozen=True)
class Scene:
    """Faults that are waited for together."""

    faults: tuple[Fault, ...]
    waits: Mapping[str, str] = field(default_factory=dict)  # `for` by alert, where its own is too long to be waited for


class Stage:
    """One stack without a healer for all faults of a scene."""

    def __init__(self, script: Path, run: Path, scene: Scene) -> None:
        self.script = script
        faults, ports = scene.faults, [free_port() for _ in scene.faults]
        self.logs = {port: run / f"{fault.__name__}.log" for port, fault in zip(ports, faults, strict=True)}
        for log in self.logs.values():
            log.touch()
        sources = ", ".join(f'"localhost:{port}={log}"' for port, log in self.logs.items())
        env = {"VLLM_MONITOR_DIR": str(run)}  # no other server's counts
        self.stack = Stack(run, ports[0], False, ports[1:], env, _EXPORTER.format(sources=sources))
        shorten(run / "config" / "prometheus", scene.waits)
        self.firing = Firing(self.stack)
        self.starting = threading.Semaphore(AT_ONCE)
        self.proofs: list[Proof] = []
        self._subjects = [
            (fault, Subject(self, fault.__name__, port)) for fault, port in zip(faults, ports, strict=True)
        ]

    def add(self, proof: Proof) -> None:
        print(proof.words(), flush=True)
        self.proofs.append(proof)

    def play(self) -> list[str]:
        """Runs all faults beside each other. Returns what went wrong, a line each."""
        with ExitStack() as ends:
            ends.callback(self.stack.stop)
            self.stack.start()
            ends.enter_context(self.firing.watching())
            with ThreadPoolExecutor(len(self._subjects)) as pool:
                return [line for line in pool.map(self._run, self._subjects) if line]

    def _run(self, one: tuple[Fault, Subject]) -> str:
        fault, subject = one
        with subject.ends:
            try:
                fault(subject)
            except AssertionError as error:
                seen = sorted({alert for _, alert, server in self.firing.ever if server == subject.name})
                return f"{subject.fault}: {error}; fired: {', '.join(seen)}; log: {subject.log}"
        return ""


def shorten(rendered: Path, waits: Mapping[str, str]) -> None:
    """Replaces the `for` of alerts in rendered rules. Raises AssertionError for an alert that is not there."""
    missing = set(waits)
    for file in rendered.rglob("*.alerts.yml"):
        text = file.read_text()
        for alert, wait in waits.items():
            text, found = re.subn(rf"(- alert: {alert}\n(?:(?!- alert).*\n)*? +for: )\w+", rf"\g<1>{wait}", text)
            missing -= {alert} if found else set()
        file.write_text(text)
    assert not missing, f"no alert {missing}"


def in_shell(text: str, *around: str) -> list[str]:
    """A command to which the rest is appended: `"$@"` in the text."""
    return [*around, "/bin/sh", "-c", text, "sh"]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
