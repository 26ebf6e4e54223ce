"""The real thing on free ports: `python -m deploy.native` as `make up`, `make status` and `make down` call it.

Real time, since supervisord, Prometheus and Alertmanager have no other; tests/deploy/test_health.py has the waiting.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from tests.e2e.harness.httpio import get_text
from tests.patience import PATIENCE, wait_for
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("EXPORTER", "HEALER", "PROMETHEUS", "ALERTMANAGER")

pytestmark = [pytest.mark.alerts, pytest.mark.real, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Machine:
    """One run directory with its settings."""

    run: Path
    env: Path
    ports: dict[str, int]

    def call(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        flags = ["--run", str(self.run), "--env", str(self.env)]
        line = [sys.executable, "-m", "deploy.native", command, *flags, *arguments]
        # What is set for all tests would win over the file.
        environ = {name: value for name, value in os.environ.items() if name != "VLLM_MONITOR_DIR"}
        return subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240, check=False)

    def settings(self, **more: str) -> None:
        lines = {
            "VLLM_TARGETS": "127.0.0.1:1",
            "VLLM_MONITOR_DIR": str(self.inside),
            "GRAFANA_URL": "https://grafana.example.org",  # whether or not this machine has one
            **{f"{part}_PORT": str(port) for part, port in self.ports.items()},
            **more,
        }
        self.env.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    @property
    def inside(self) -> Path:
        """The directory of vLLM's own counts: not that of this host."""
        return self.run.with_name("inside")

    def pids(self) -> dict[str, int]:
        return {part["name"]: part["pid"] for part in json.loads(self.call("status", "--json").stdout)}

    def states(self) -> dict[str, str]:
        return {part["name"]: part["state"] for part in json.loads(self.call("status", "--json").stdout)}

    def get(self, part: str, path: str) -> str:
        """With the password, where there is one."""
        password = self.run / "secrets" / f"{part.lower()}_password"
        login = f"vllm-monitor:{password.read_text().strip()}@" if password.exists() else ""
        return get_text(f"http://{login}127.0.0.1:{self.ports[part]}{path}", PATIENCE)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "run", tmp_path / ".env", {part: free_port() for part in PARTS})
    made.settings()
    yield made
    made.call("down")


def test_up_runs_everything_applies_changes_and_down_stops_it(machine: Machine) -> None:
    first = machine.call("up")
    assert first.returncode == 0, first.stderr
    assert "vllm-monitor is up" in first.stdout
    assert machine.inside.stat().st_mode & 0o7777 == 0o755
    assert f"{socket.gethostname()}:1  down: connection refused" in first.stdout
    assert "dry run" in first.stdout
    assert "nobody is told" in first.stdout
    pids = machine.pids()
    assert sorted(pids) == ["alertmanager", "exporter", "healer", "prometheus"]
    assert json.loads(machine.get("PROMETHEUS", "/api/v1/status/config"))["status"] == "success"

    asked = machine.call("query", "vector(42)")
    assert (asked.returncode, asked.stdout) == (0, "{} => 42\n"), asked.stderr
    again = machine.call("up")
    assert "was up already: nothing changed" in again.stdout
    assert machine.pids() == pids

    machine.settings(ALERT_WEBHOOK_URL="http://127.0.0.1:9/hook", VLLM_TARGETS="127.0.0.1:2")
    changed = machine.call("up")
    done = "was up already: restarted exporter, healer; reloaded alertmanager, prometheus"
    assert done in changed.stdout, changed.stderr
    after = machine.pids()
    assert {part for part in pids if after[part] != pids[part]} == {"exporter", "healer"}

    assert machine.call("status").returncode == 0
    assert "stopped; data is kept" in machine.call("down").stdout
    assert machine.call("status").returncode == 1
    assert (machine.run / "data" / "healer" / "journal.sqlite").exists()
    assert machine.call("down").stdout == "nothing was running\n"


GRAFANA = """#!{python}
# Stands in for Grafana: reads what it is given, and is well when all of it is there.
import configparser, http.server, pathlib, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

if "--help" not in sys.argv:
    given = dict(word.split("=", 1) for word in sys.argv[2:])
    ini = configparser.RawConfigParser()
    ini.read(given["--config"])
    home = pathlib.Path(ini["dashboards"]["default_home_dashboard_path"])
    assert sys.argv[1] == "server" and home.read_text()
    assert pathlib.Path(ini["security"]["admin_password"][8:-1]).read_text()
    pathlib.Path(ini["paths"]["data"], "grafana.db").touch()
    address = ini["server"]["http_addr"], int(ini["server"]["http_port"])
    http.server.HTTPServer(address, Handler).serve_forever()
"""


def test_an_installed_grafana_is_one_more_part(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "grafana" / "bin" / "grafana"
    for file, text in (
        (program, GRAFANA.format(python=sys.executable)),
        (program.parents[1] / "conf/defaults.ini", ""),
    ):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    port = str(free_port())
    machine.settings(GRAFANA_URL="", GRAFANA_PORT=port)
    first = machine.call("up")
    assert first.returncode == 0, first.stderr
    assert f"http://127.0.0.1:{port}/d/vllm-monitor-overview" in first.stdout
    assert f"Boards  in Grafana: user admin, password in {machine.run}/secrets/grafana_password" in first.stdout
    assert (machine.run / "data" / "grafana" / "grafana.db").exists()
    assert f"http://127.0.0.1:{port}\n" in machine.call("status").stdout
    assert "was up already: nothing changed" in machine.call("up").stdout
    machine.settings(GRAFANA_PORT=port)
    assert "stopped grafana" in machine.call("up").stdout


def users_of(machine: Machine) -> dict[str, str]:
    return {part: psutil.Process(pid).username() for part, pid in machine.pids().items()}


def as_the_release_before(machine: Machine) -> None:
    """Starts all parts as the user of the test."""
    script = (
        "import sys, os, socket; from pathlib import Path; from deploy.native.layout import Layout, alone; "
        "from deploy.native.up import bring_up; from deploy.config.settings import load_settings; "
        "root, run, env = map(Path, sys.argv[1:]); layout = Layout(root, run, env)\n"
        "with alone(run): bring_up(layout, load_settings(env, {}, socket.gethostname()))"
    )
    command = [sys.executable, "-c", script, str(ROOT), str(machine.run), str(machine.env)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=240, check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user runs all parts as himself")
def test_as_root_only_the_healer_is_root() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:  # not pytest's, which is closed to others
        os.chmod(home, 0o755)
        machine = Machine(Path(home, "run"), Path(home, ".env"), {part: free_port() for part in PARTS})
        machine.settings()
        try:
            as_the_release_before(machine)
            assert set(users_of(machine).values()) == {"root"}
            up = machine.call("up")
            assert up.returncode == 0, up.stderr
            users = users_of(machine)
            assert users.pop("healer") == "root"
            for part, user in users.items():  # the checkout, its Python or a program may lie in root's own directory
                own = f"vllm-{part}"
                assert user == own or f"{part} runs as root, not as {own}: that user" in up.stdout
            assert (machine.run / "secrets").stat().st_mode & 0o777 == 0o700
            assert "was up already: nothing changed" in machine.call("up").stdout
            query = "/api/v1/query?query=" + quote('up{job=~"prometheus|alertmanager"} == 1')
            wait_for(lambda: len(json.loads(machine.get("PROMETHEUS", query))["data"]["result"]) == 2, "both scrapes")
        finally:
            machine.call("down")


def test_a_killed_supervisord_is_taken_over(machine: Machine) -> None:
    assert machine.call("up").returncode == 0
    pids = machine.pids()
    os.kill(int((machine.run / "supervisord.pid").read_text()), signal.SIGKILL)
    assert "supervisord was killed; pids" in machine.call("status").stdout
    assert "left its parts behind" in machine.call("up").stdout
    assert not set(pids.values()) & set(machine.pids().values())


def test_a_foreign_owner_of_a_port_stops_it_before_anything_starts(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.ports["PROMETHEUS"])):
        refused = machine.call("up")
    assert refused.returncode == 1
    assert f"port {machine.ports['PROMETHEUS']} is in use by" in refused.stderr
    assert f"(pid {os.getpid()}, user " in refused.stderr
    assert not (machine.run / "supervisord.pid").exists()


def test_a_setting_that_a_part_refuses_stops_it_before_anything_starts(machine: Machine) -> None:
    machine.settings(VLLM_HEALER_MODE="brave")
    refused = machine.call("up")
    assert refused.returncode == 1
    assert "unknown mode 'brave'; known: act, dry_run" in refused.stderr
    assert not (machine.run / "supervisord.pid").exists()


def test_a_part_that_does_not_start_shows_the_end_of_its_log(machine: Machine) -> None:
    (machine.run / "data" / "healer" / "journal.sqlite").mkdir(parents=True)  # no file can be made there
    failed = machine.call("up")
    assert failed.returncode == 1
    assert re.search(r"healer \(\w+\) does not answer", failed.stderr), failed.stderr  # not yet FATAL on a busy machine
    assert "journal.sqlite" in failed.stderr
    wait_for(lambda: machine.states()["healer"] == "FATAL", "supervisord to give it up", pause=1)


def test_the_rendered_files_serve_the_command_lines_too(machine: Machine) -> None:
    assert machine.call("up").returncode == 0
    for program, command, part in (("vllm-healer", "history", "healer"), ("vllm-exporter", "once", "exporter")):
        line = [
            str(Path(sys.prefix) / "bin" / program),
            command,
            "--config",
            str(machine.run / "config" / f"{part}.yml"),
        ]
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
