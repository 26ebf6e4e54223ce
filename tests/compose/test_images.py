"""The images of both generations by themselves: they take our configuration, and messages leave the container."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from deploy.config.alertmanager import render_alertmanager
from deploy.config.prometheus import render_prometheus
from deploy.config.settings import Ports, load_settings
from deploy.config.site import CONTAINER, container_site
from tests.alerts.live import World, serve
from tests.patience import PATIENCE, wait_for

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its image cannot be had everywhere; each test stops its own
from testcontainers.core.container import DockerContainer

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ("prom/prometheus:v3.15.0", "prom/prometheus:v2.42.0")
ALERTMANAGER = ("prom/alertmanager:v0.34.2", "prom/alertmanager:v0.25.0")
SITE = container_site(Ports(), "172.16.98.1")
Start = Callable[..., str]


@pytest.fixture
def start(world: ModuleType, tmp_path: Path) -> Iterator[Start]:
    """Starts an image with files where it expects its configuration, once it is ready; returns its address."""
    started: list[DockerContainer] = []

    def run(image: str, files: dict[str, str], port: int, *command: str, ready: str = "/-/ready") -> str:
        if not world.has_engine() or not world.has_images(image):
            pytest.skip(f"needs a Docker engine that has the image {image}")
        for name, text in files.items():
            (tmp_path / "config" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "config" / name).write_text(text)
        container = DockerContainer(image).with_command(list(command)).with_exposed_ports(port)
        container.with_volume_mapping(str(tmp_path / "config"), str(CONTAINER), "ro")
        # root reads the files of a test; a bridged container reaches the host by this name.
        container.with_kwargs(user="0", extra_hosts={"host.docker.internal": "host-gateway"})
        started.append(container)
        container.start()
        address = f"http://127.0.0.1:{container.get_exposed_port(port)}"
        wait_for(lambda: answers(address + ready), f"{image} is ready", lambda: container.get_logs()[1], pause=0.2)
        return address

    yield run
    for container in started:
        container.stop()


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False


@pytest.mark.parametrize("image", PROMETHEUS)
def test_prometheus_takes_the_configuration_and_every_rule_works(start: Start, image: str) -> None:
    files = {
        **render_prometheus(ROOT / "prometheus", SITE, ()),
        "alertmanager_password": "x",
        "prometheus_password": "x",
    }
    address = start(image, files, 9090, f"--config.file={CONTAINER}/prometheus.yml", "--storage.tsdb.path=/tmp/data")

    def health() -> set[str]:
        with urlopen(f"{address}/api/v1/rules", timeout=PATIENCE) as answer:
            groups = json.load(answer)["data"]["groups"]
        assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
        return {rule["health"] for group in groups for rule in group["rules"] if "interval" in group}

    wait_for(lambda: health() == {"ok"}, "every rule was evaluated", health, pause=1.0)


@pytest.mark.parametrize("image", ALERTMANAGER)
def test_a_message_leaves_the_container_of_alertmanager(start: Start, image: str, tmp_path: Path) -> None:
    heard = World("")
    with serve(heard, "0.0.0.0") as port:
        (tmp_path / ".env").write_text(f"ALERT_WEBHOOK_URL=http://host.docker.internal:{port}/people\n")
        people = load_settings(tmp_path / ".env", {}, "gpu1").people
        files = {**render_alertmanager(ROOT / "alertmanager", SITE, people), "healer_token": "x"}
        command = (
            f"--config.file={CONTAINER}/alertmanager.yml",
            "--storage.path=/tmp/data",
            "--cluster.listen-address=",
        )
        address = start(image, files, 9093, *command)
        alert = [{"labels": {"alertname": "GpuLost", "severity": "critical", "failure_mode": "gpu_fault"}}]
        request = Request(f"{address}/api/v2/alerts", json.dumps(alert).encode(), {"Content-Type": "application/json"})
        assert urlopen(request, timeout=PATIENCE).status == 200
        heard.wait_for("/people", "GpuLost", "firing", PATIENCE)


def test_loki_takes_its_configuration(world: ModuleType, start: Start) -> None:
    image = (ROOT / "docker-compose.yml").read_text().partition("${LOKI_IMAGE:-")[2].partition("}")[0]
    if not world.has_engine() or not world.has_loki():
        pytest.skip(f"needs a Docker engine that has {image}, Loki 3 itself")
    files = {"loki.yml": (ROOT / "deploy" / "loki" / "loki.yml").read_text()}
    start(image, files, 3100, f"-config.file={CONTAINER}/loki.yml", ready="/ready")
