"""A healer as a real process with its files in one folder, and the world around it as one small HTTP server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.patience import PATIENCE, wait_for
from vllm_healer.journal import Journal, JournalReader

TOKEN = "correct-horse-battery-staple"
MAIN = "from vllm_healer.cli import main; raise SystemExit(main())"
# The same with a worker that rests less between its rounds: tests wait for several of them.
HURRIED = f"""
from vllm_healer.worker import loop
loop.TICK, loop.CONSIDER_EVERY, loop.VERIFY_EVERY, loop.STOP_WITHIN = 0.1, 0.5, 0.2, 0.5
{MAIN}
"""

POLICY = """\
mode: {mode}
listen: 127.0.0.1:{port}
token_file: token
journal: journal.sqlite
prometheus_url: {world}
alertmanager_url: {world}
remediations: [notify_only, reap_orphans, restart_engine]
reconcile_seconds: 1
{targets}
"""

TARGET = """\
targets:
  - server: {server}
    url: {world}
    actuator: supervisord
    options: {{url: "{world}/RPC2", program: {program}}}
"""


@dataclass
class Healer:
    """Its files, and the process once it was started."""

    folder: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    main: str = MAIN
    around: tuple[str, ...] = ()  # a program that runs it as its own process, as strace -D does
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "healer.yml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, world: str = "http://127.0.0.1:9", mode: str = "dry_run", targets: str = "") -> None:
        policy = POLICY.format(mode=mode, port=self.port, world=world, targets=targets)
        self.config.write_text(policy)
        write_secret(self.folder / "token", TOKEN)

    def start(self, *options: str) -> None:
        """Until it is ready."""
        with (self.folder / "log").open("ab") as log:
            command = [*self.around, sys.executable, "-c", self.main, "serve", "--config", str(self.config), *options]
            environment = {**os.environ, **self.environment}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        wait_for(self.ready, "the healer", lambda: self.log()[-2000:])

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return requests.get(f"{self.url}/-/ready", timeout=PATIENCE).status_code == 200
        except requests.ConnectionError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def post(self, path: str, body: bytes, token: str = TOKEN) -> requests.Response:
        return requests.post(self.url + path, body, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)

    def metric(self, name: str) -> float:
        """0.0 when it is not there."""
        lines = requests.get(f"{self.url}/metrics", timeout=PATIENCE).text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def journal(self) -> closing[JournalReader]:
        return closing(Journal.read_only(self.folder / "journal.sqlite"))

    def sentences(self, kind: str = "") -> list[str]:
        with self.journal() as journal:
            return [entry.words for entry in journal.history(1000) if kind in ("", entry.kind)]


def write_secret(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def alert(name: str, server: str = "", status: str = "firing", **labels: str) -> dict[str, Any]:
    """As Alertmanager writes it in a webhook, and, with its `status` replaced, in its API."""
    named = {"server": server} if server else {}
    return {
        "status": status,
        "labels": {"alertname": name, **named, **labels},
        "annotations": {},
        "startsAt": "2026-03-01T12:00:05.000Z",
        "fingerprint": f"{name}-{server}",
    }


def notification(*alerts: dict[str, Any]) -> bytes:
    return json.dumps({"version": "4", "alerts": list(alerts)}).encode()


def active(*alerts: dict[str, Any]) -> list[dict[str, Any]]:
    """Alertmanager's answer: these and the Watchdog."""
    status = {"state": "active", "silencedBy": [], "inhibitedBy": []}
    watchdog = alert("Watchdog", part_of="vllm-monitor")
    return [{**each, "status": status} for each in (watchdog, *alerts)]


def prepare(world: Any, *alerts: dict[str, Any]) -> None:
    """Prometheus knows nothing of the server, Alertmanager has these alerts, and vLLM is well."""
    world.say_json("/api/v1/query", {"status": "success", "data": {"resultType": "vector", "result": []}})
    world.say_json("/api/v2/alerts", active(*alerts))
    world.say_json("/health", {})
    world.say_json("/v1/models", {"data": [{"id": "tiny"}]})
    world.say_json("/v1/completions", {"choices": [{"text": "."}]})
