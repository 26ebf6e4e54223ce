"""A real Prometheus and Alertmanager on free ports, between a page of metrics and a receiver that the test owns."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from deploy.config.access import GUARDED, USER, WEB, password_name
from deploy.config.access import TOKEN as TOKEN_FILE
from deploy.config.settings import Ports
from deploy.config.web import render_web
from tests.alerts.toolchain import ALERTMANAGER, PROMETHEUS, Tools
from tests.patience import PATIENCE
from tests.ports import free_port

TOKEN = "a-token-of-the-test"
PASSWORD = "a-password-of-the-test"  # of Prometheus and of Alertmanager


@dataclass(frozen=True)
class Notification:
    """One POST that Alertmanager made."""

    path: str
    authorization: str
    alerts: tuple[dict[str, object], ...]
    at: float = field(default_factory=time.time)  # seconds since the epoch

    def has(self, name: str, status: str = "firing") -> bool:
        return any(
            isinstance(labels := alert["labels"], dict) and labels["alertname"] == name and alert["status"] == status
            for alert in self.alerts
        )


@dataclass
class World:
    """What the exporter says, and what was received."""

    metrics: str
    received: list[Notification] = field(default_factory=list)

    def wait_for(self, path: str, name: str, status: str, seconds: float) -> Notification:
        """The first such notification; AssertionError after `seconds`."""
        found: list[Notification] = []

        def arrived() -> bool:
            found[:] = [one for one in tuple(self.received) if one.path == path and one.has(name, status)]
            return bool(found)

        wait_until(arrived, seconds, f"{name} ({status}) at {path}; received: {self.received}")
        return found[0]


@contextmanager
def serve(world: World, host: str = "127.0.0.1") -> Iterator[int]:
    """GET answers with the metrics, POST records a notification. Yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(world.metrics.encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            authorization = self.headers.get("Authorization", "")
            world.received.append(Notification(self.path, authorization, tuple(body["alerts"])))
            self.answer(b"")

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def run_alertmanager(tools: Tools, home: Path, receiver: int) -> Iterator[int]:
    """With the repository's configuration, its receivers at our port. Yields its port."""
    copy_alertmanager(home, receiver)
    port = free_port()
    with start_alertmanager(tools, home, port):
        yield port


@contextmanager
def start_alertmanager(tools: Tools, home: Path, port: int) -> Iterator[int]:
    """With the configuration in `home`, and what it knew when it ran there before. Yields its pid."""
    command = [
        tools.alertmanager,
        f"--config.file={home / 'config' / 'alertmanager' / 'alertmanager.yml'}",
        f"--storage.path={home / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.config.file={make_secrets(home)}",
        "--cluster.listen-address=",
    ]
    with run_program(command, home / "alertmanager.log", port) as pid:
        yield pid


@contextmanager
def run_loop(tools: Tools, home: Path, world: World) -> Iterator[Ports]:
    """The world's page, scraped by Prometheus, which alerts through Alertmanager into the world. Yields their ports."""
    with ExitStack() as stack:
        page = stack.enter_context(serve(world))
        alertmanager = stack.enter_context(run_alertmanager(tools, home, page))
        ports = Ports(exporter=page, healer=page, prometheus=free_port(), alertmanager=alertmanager)
        copy_prometheus(home, page, ports.prometheus, alertmanager)
        stack.enter_context(start_prometheus(tools, home, ports.prometheus))
        yield ports


@contextmanager
def start_prometheus(tools: Tools, home: Path, port: int) -> Iterator[int]:
    """With the configuration in `home`. Yields its pid."""
    command = [
        tools.prometheus,
        f"--config.file={home / 'config' / 'prometheus' / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.config.file={make_secrets(home)}",
        # What fires before Prometheus has found Alertmanager is sent again after this; 1m by default.
        "--rules.alert.resend-delay=3s",
    ]
    with run_program(command, home / "prometheus.log", port) as pid:
        yield pid


def copy_prometheus(home: Path, page: int, own: int, alertmanager: int, healer: int = 0) -> Path:
    """The configuration with our addresses and every 5 s shortened to 1. The healer's metrics are on the page unless it
    has a port."""
    target = home / "config" / "prometheus"
    shutil.copytree(PROMETHEUS, target)
    for file in (target / "prometheus.yml", *target.glob("*/*.rules.yml"), *target.glob("*/*.alerts.yml")):
        text = file.read_text().replace("interval: 5s", "interval: 1s").replace("timeout: 4s", "timeout: 1s")
        for default, port in ((9855, page), (9856, healer or page), (9090, own), (9093, alertmanager)):
            text = text.replace(f"127.0.0.1:{default}", f"127.0.0.1:{port}")
        file.write_text(text)
    (target / "targets").mkdir()
    (target / "targets" / "vllm.json").write_text("[]")
    return target / "prometheus.yml"


def copy_alertmanager(home: Path, receiver: int, healer: int = 0) -> Path:
    """The configuration with our addresses and shortened waits; people and the dead man's switch get webhooks too."""
    target = home / "config" / "alertmanager"
    shutil.copytree(ALERTMANAGER, target)
    file = target / "alertmanager.yml"
    text = file.read_text().replace("127.0.0.1:9856", f"127.0.0.1:{healer or receiver}")
    text = text.replace("group_wait: 10s", "group_wait: 1s").replace("group_interval: 15s", "group_interval: 2s")
    for name in ("human", "human-once", "deadman"):
        resolved = str(name != "human-once").lower()
        webhook = f"[{{url: 'http://127.0.0.1:{receiver}/{name}', send_resolved: {resolved}}}]"
        text = text.replace(f"  - name: {name}\n", f"  - name: {name}\n    webhook_configs: {webhook}\n")
    file.write_text(text)
    return file


def make_secrets(home: Path) -> Path:
    """Where the two configurations expect them; returns the web.yml that asks for the password."""
    secrets = home / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / TOKEN_FILE).write_text(TOKEN + "\n")
    for part in GUARDED:
        (secrets / password_name(part)).write_text(PASSWORD + "\n")
    web = secrets / WEB
    web.write_text(render_web(PASSWORD, web.read_text() if web.exists() else ""))
    return web


@contextmanager
def run_program(command: list[str], log: Path, port: int) -> Iterator[int]:
    """Until the block ends; entered when it says that it is ready. Yields its pid."""
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            wait_until(lambda: is_ready(port), PATIENCE, f"{command[0]}: not ready, see {log}")
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def is_ready(port: int) -> bool:
    try:
        return ask(f"http://127.0.0.1:{port}/-/ready", timeout=2)[0] == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def ask(url: str, body: bytes | None = None, timeout: float = PATIENCE) -> tuple[int, bytes]:
    """Asks with the password; a body is JSON. Raises HTTPError for a status of 400 and more."""
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=timeout) as answer:
        return answer.status, answer.read()


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: object) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{seconds:.0f} s passed: {otherwise}"
        time.sleep(0.1)  # real programs, each with a time of its own
