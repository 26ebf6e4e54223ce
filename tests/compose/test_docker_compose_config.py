"""What `docker compose` itself makes of the files. Its client is enough: no engine is asked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.compose


@pytest.fixture(autouse=True)
def client(world: ModuleType) -> None:
    """`docker compose`, or the test is skipped; not where all must be there."""
    if not world.has_client():
        assert os.environ.get("CI") != "true", "`docker compose` is missing"
        pytest.skip("needs `docker compose`")


def compose_config(*files: str, **env: str) -> Any:
    flags = [word for file in files for word in ("-f", file)]
    command = ["docker", "compose", "--env-file", os.devnull, *flags, "--profile", "*", "config", "--format", "json"]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(command, cwd=ROOT, env={**kept, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


def test_is_valid_without_any_setting() -> None:
    services = compose_config("docker-compose.yml")["services"]
    assert services["prometheus"]["image"] == "prom/prometheus:v3.15.0"
    assert services["config"]["environment"] == {"PYTHONPATH": "/checkout", "ALERTMANAGER_IMAGE": ""}


def test_settings_of_the_shell_reach_the_renderer() -> None:
    services = compose_config("docker-compose.yml", VLLM_TARGETS="gpu1:8000", PROMETHEUS_PORT="19090")["services"]
    assert services["config"]["environment"]["VLLM_TARGETS"] == "gpu1:8000"
    assert services["prometheus"]["ports"][0]["host_ip"] == "127.0.0.1"
    assert services["prometheus"]["ports"][0]["published"] == "19090"


def test_vllms_counts_are_mounted_to_read() -> None:
    """Docker makes the directory as root's where it is not there, at each start of the container."""
    for env, source in ((({}), "/run/vllm-monitor"), ({"VLLM_MONITOR_DIR": "/srv/vllm"}, "/srv/vllm")):
        volumes = compose_config("docker-compose.yml", **env)["services"]["exporter"]["volumes"]
        (mount,) = (one for one in volumes if one["target"] == "/run/vllm-monitor")
        assert (mount["type"], mount["source"], mount["read_only"]) == ("bind", source, True)
        assert mount.get("bind", {}).get("create_host_path", True)


def test_the_overlay_gives_the_exporter_the_gpus_to_read() -> None:
    exporter = compose_config("docker-compose.yml", "docker-compose.gpu.yml")["services"]["exporter"]
    [device] = exporter["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", -1, ["utility"])
    assert exporter["cap_drop"] == ["ALL"]
