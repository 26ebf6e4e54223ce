"""A copy of the checkout with its own project, ports and network, and simulated servers in containers beside it."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "vllm-monitor-test"
SERVERS = ("sim-a", "sim-b")
PART_PORTS = ("EXPORTER_PORT", "HEALER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT", "LOKI_PORT")
SYSTEMD = Path("/run/systemd/system")
PATIENCE = 120.0  # seconds that a step may take on a busy machine

# The oldest generation that configuration and rules are tested with.
OLDER = {"PROMETHEUS_IMAGE": "prom/prometheus:v2.42.0", "ALERTMANAGER_IMAGE": "prom/alertmanager:v0.25.0"}

# Everything as shipped, but windows that fit into a test: the simulator compiles nothing and hangs at once.
EXPORTER = """\
probe:
  canary_interval: 5
  canary_timeout: 2
  stall_seconds: 8
  stall_gap_factor: 2
  warmup_seconds: 5
  warmup_stall_seconds: 10
"""

TARGET = """\
  - server: localhost:{port}
    actuator: docker
    options: {{socket: "unix:///run/docker-proxy/docker.sock", container: {container}}}
    start_timeout: 60
"""

Seen = TypeVar("Seen")


@dataclass
class Stack:
    """`start` before all, `end` after all."""

    checkout: Path
    ports: dict[str, int] = field(default_factory=dict)
    load: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, **env: str) -> None:
        """`env`: settings of the shell for `make up`."""
        self.ports = {name: free_port() for name in (*PART_PORTS, *SERVERS)}
        copy_checkout(self.checkout)
        names = {name: container_name(name) for name in SERVERS}
        targets = "".join(TARGET.format(port=self.ports[name], container=names[name]) for name in SERVERS)
        (self.checkout / "healer.yml").write_text(f"{HEALER}targets:\n{targets}")
        (self.checkout / "exporter.yml").write_text(EXPORTER)
        settings = {**{name: str(self.ports[name]) for name in PART_PORTS}, "VLLM_HEALER_MODE": "act"}
        settings["VLLM_TARGETS"] = ",".join(f"localhost:{self.ports[name]}" for name in SERVERS)
        settings |= {"MONITOR_SUBNET": "172.16.97.0/24", "MONITOR_GATEWAY": "172.16.97.1"}
        (self.checkout / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        (self.checkout / ".env").chmod(0o600)
        for name in SERVERS:
            self.start_server(name)
        self.make("up", True, **env)

    def end(self) -> None:
        for process in self.load:
            process.kill()
        for name in SERVERS:
            docker("rm", "-f", container_name(name), check=False)
        self.make("down", WIPE="1", check=False)

    def make(self, target: str, check: bool = True, **env: str) -> str:
        """As a user types it, without what has no image here."""
        files = [
            "docker-compose.yml",
            "tests/compose/stand-ins.yml",
            *([] if has_loki() else ["tests/compose/no-loki.yml"]),
        ]
        own = {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_FILE": ":".join(files), **env}
        return make(self.checkout, target, check, **own)

    def start_server(self, name: str) -> None:
        """Where containers and the host reach it, and nobody else."""
        publish = [word for host in ("127.0.0.1", host_gateway()) for word in ("-p", f"{host}:{self.ports[name]}:8000")]
        mount = ["-v", f"{self.checkout}:/checkout:ro", "-w", "/checkout", "-e", "PYTHONDONTWRITEBYTECODE=1"]
        image = python_image()
        serve = "python -m deploy.simulator serve sim --host 0.0.0.0 --port 8000 --start-seconds 1 --no-access-log"
        policy = ["--restart", "unless-stopped", "--name", container_name(name)]
        docker("run", "-d", *policy, *publish, *mount, image, *serve.split())

    def break_server(self, name: str, how: str) -> None:
        simulator = "python -m deploy.simulator break"
        docker("exec", container_name(name), *simulator.split(), how)

    def keep_busy(self, name: str) -> None:
        """A few clients that never stop asking."""
        url = f"http://127.0.0.1:{self.ports[name]}/v1/completions"
        script = (
            "import json,sys,threading,time,urllib.request as r\n"
            "def ask():\n"
            " while True:\n"
            "  body=json.dumps({'model':'sim','prompt':'tell','max_tokens':64}).encode()\n"
            "  try: r.urlopen(r.Request(sys.argv[1],body,{'Content-Type':'application/json'}),timeout=30).read()\n"
            "  except OSError: time.sleep(0.5)\n"
            "for _ in range(3): threading.Thread(target=ask).start()\n"
        )
        self.load.append(subprocess.Popen([shutil.which("python3") or "python3", "-c", script, url]))

    def answers(self, name: str) -> bool:
        body = {"model": "sim", "prompt": "tell", "max_tokens": 1}
        return "choices" in self._json(self.ports[name], "/v1/completions", body, timeout=3.0)

    def query(self, promql: str) -> list[dict[str, Any]]:
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": promql})
        answer = self._json(self.ports["PROMETHEUS_PORT"], path)
        found: list[dict[str, Any]] = answer.get("data", {}).get("result", [])
        return found

    def value(self, promql: str) -> float | None:
        found = self.query(promql)
        return float(found[0]["value"][1]) if found else None

    def silence(self, comment: str) -> None:
        """For an hour, of an alert that never fires."""
        begins = time.time()
        matcher = {"name": "alertname", "value": "Never", "isRegex": False, "isEqual": True}
        times = {"startsAt": rfc3339(begins), "endsAt": rfc3339(begins + 3600)}
        body = {"matchers": [matcher], **times, "createdBy": "test", "comment": comment}
        assert "silenceID" in self._json(self.ports["ALERTMANAGER_PORT"], "/api/v2/silences", body)

    def silences(self) -> list[str]:
        """Their comments."""
        port = self.ports["ALERTMANAGER_PORT"]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v2/silences", headers=self.login(port))
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return [one["comment"] for one in json.load(answer)]

    def history(self) -> list[dict[str, Any]]:
        """The healer's journal, oldest first; empty while its container is down."""
        command = "vllm-healer history --json --limit 1000 --config /etc/vllm-monitor/healer.yml"
        answer = docker("exec", f"{PROJECT}-healer-1", *command.split(), check=False)
        try:
            entries: list[dict[str, Any]] = json.loads(answer)
        except ValueError:
            return []
        return entries

    def kinds(self) -> list[str]:
        return [str(entry["kind"]) for entry in self.history()]

    def login(self, port: int) -> dict[str, str]:
        """The header with the password of Prometheus or Alertmanager; none for other ports."""
        for part in ("prometheus", "alertmanager"):
            if port == self.ports[f"{part.upper()}_PORT"]:
                file = f"/etc/vllm-monitor/{part}_password"
                password = docker("exec", f"{PROJECT}-{part}-1", "cat", file, check=False)
                basic = base64.b64encode(f"vllm-monitor:{password}".encode()).decode()
                return {"Authorization": f"Basic {basic}"}
        return {}

    def _json(self, port: int, path: str, body: object = None, timeout: float = 5.0) -> dict[str, Any]:
        """{} when it does not answer, or not with JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.login(port)}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except (OSError, ValueError):
            return {}


HEALER = """\
remediations: [notify_only, reap_orphans, restart_engine]
limits:
  minimum_healthy: 1
"""


def make(checkout: Path, target: str, check: bool = True, **env: str) -> str:
    """What it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own = {**kept, "VLLM_MONITOR_TAG": "test", **env}
    done = subprocess.run(["make", target], cwd=checkout, env=own, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def copy_checkout(to: Path) -> None:
    """What a clone would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def container_name(name: str) -> str:
    return f"{PROJECT}-{name}"


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def has_engine() -> bool:
    """As `make up` finds out: without one it would run the parts natively."""
    return has_client() and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def has_client() -> bool:
    line = ["docker", "compose", "version"]
    return bool(shutil.which("docker")) and subprocess.run(line, capture_output=True, check=False).returncode == 0


def host_gateway() -> str:
    """What containers know as host.docker.internal; an engine that chose it itself does not always say it."""
    [network] = json.loads(docker("network", "inspect", "bridge"))
    config = network["IPAM"]["Config"][0]
    return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))


def started_at(container: str) -> str:
    return docker("inspect", "-f", "{{.State.StartedAt}}", container)


def kill_main_process(container: str) -> None:
    """As a crash does. `docker kill` would count as a stop by a person, after which no policy starts it again."""
    os.kill(int(docker("inspect", "-f", "{{.State.Pid}}", container)), signal.SIGKILL)


def python_image() -> str:
    """The one that ours are built from."""
    text = (ROOT / "docker-compose.yml").read_text()
    return text.partition("${PYTHON_IMAGE:-")[2].partition("}")[0]


def has_images(*images: str) -> bool:
    return all(docker("image", "ls", "-q", image) for image in images)


@cache
def has_loki() -> bool:
    """Under its name there may be a stand-in that is another program."""
    image = (ROOT / "docker-compose.yml").read_text().partition("${LOKI_IMAGE:-")[2].partition("}")[0]
    if not docker("image", "ls", "-q", image):
        return False
    return docker("run", "--rm", image, "-version", check=False).startswith("loki, version")


def may_restart_engine() -> bool:
    """Where it serves nobody else, and where a service manager has it, only on a machine made for tests."""
    alone = all(name.startswith(f"{PROJECT}-") for name in docker("ps", "--format", "{{.Names}}").split())
    return os.geteuid() == 0 and alone and (not SYSTEMD.exists() or os.environ.get("CI") == "true")


def restart_engine() -> None:
    """Without a service manager: as the one who started it would."""
    if SYSTEMD.exists():
        subprocess.run(["systemctl", "restart", "docker"], check=True)
        return
    pidfile = Path("/var/run/docker.pid")
    pid = int(pidfile.read_text())
    command = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "dockerd to end")
    with open("/tmp/dockerd.log", "ab") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    wait_for(lambda: subprocess.run(["docker", "info"], capture_output=True).returncode == 0, "dockerd to answer")


def wait_for(look: Callable[[], Seen], what: str, seconds: float = PATIENCE) -> Seen:
    """Returns what `look` saw, as soon as it is true. Real time: containers have no other."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.5)
    return seen
