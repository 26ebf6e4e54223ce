"""docker-compose.yml as it stands: what each service may, and how it is bounded. No engine is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.config.keys import KEYS
from deploy.config.site import CONTAINER, INSIDE
from deploy.config.volumes import USERS
from deploy.docker.proxy import HEALTH, SOCKET

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EACH = pytest.mark.parametrize("name", sorted(SERVICES))


def volumes_of(name: str) -> dict[str, str]:
    """Where -> what."""
    pairs = (line.split(":") for line in SERVICES[name]["volumes"])
    return {where: what for what, where, *_ in pairs}


def test_the_parts_are_all_there() -> None:
    parts = "alertmanager config docker-proxy exporter grafana healer loki prometheus"
    assert " ".join(sorted(SERVICES)) == parts


@EACH
def test_a_service_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["memswap_limit"] == service["mem_limit"]  # none of it in swap
    assert service["pids_limit"] == 1024
    assert all(re.fullmatch(r"/tmp:size=\d+m", where) for where in service.get("tmpfs", []))
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert "privileged" not in service


@EACH
def test_a_service_is_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    if name == "config":  # ends when it has done its work
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "config" in service.get("depends_on", {"config": ""}) or name == "loki"


@EACH
def test_only_loopback_is_opened(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-(\d+)\}:\1", port)


@EACH
def test_an_image_is_pinned_and_can_be_replaced(name: str) -> None:
    image = SERVICES[name]["image"]
    ours = r"vllm-monitor/(exporter|healer):\$\{VLLM_MONITOR_TAG:-local\}"
    theirs = r"\$\{[A-Z]+_IMAGE:-[a-z/]+:v?\d+\.\d+\.\d+\}"
    assert re.fullmatch(f"{ours}|{theirs}", image)


def test_capabilities_are_given_back_to_the_renderer_alone() -> None:
    assert {name: service["cap_add"] for name, service in SERVICES.items() if "cap_add" in service} == {
        "config": ["DAC_OVERRIDE", "CHOWN"]
    }


def test_the_host_is_seen_by_the_exporter_alone() -> None:
    assert [name for name, service in SERVICES.items() if service.get("network_mode") == "host"] == ["exporter"]
    assert [name for name, service in SERVICES.items() if "pid" in service] == ["exporter"]


def test_dockers_socket_is_in_the_proxy_alone_and_the_proxys_in_the_healer_alone() -> None:
    text = {name: str(service.get("volumes")) for name, service in SERVICES.items()}
    assert [name for name, volumes in text.items() if "/var/run/docker.sock" in volumes] == ["docker-proxy"]
    sharing = [name for name in SERVICES if "docker-proxy" in volumes_of(name).values()]
    assert sharing == ["healer", "docker-proxy"]
    assert volumes_of("healer")[str(Path(SOCKET).parent)] == "docker-proxy"
    proxy = SERVICES["docker-proxy"]
    assert proxy["profiles"] == ["docker-actuator"]
    assert proxy["network_mode"] == "none"
    assert proxy["user"] == f"0:{USERS['healer']}"
    assert HEALTH.replace(":", "/") in proxy["healthcheck"]["test"][-1]


def test_each_part_sees_its_own_configuration_alone() -> None:
    for part in USERS:
        mounted = [what for what in volumes_of(part).values() if what.startswith("config-")]
        assert mounted == [f"config-{part}"]
        assert volumes_of(part)[str(CONTAINER)] == f"config-{part}"
        assert volumes_of("config")[f"/out/{part}"] == f"config-{part}"


def test_each_named_volume_is_declared_and_used() -> None:
    used = {what for name in SERVICES for what in volumes_of(name).values() if what[0] not in "./$"}
    assert used == set(COMPOSE["volumes"])


def test_each_setting_reaches_the_renderer() -> None:
    [file] = SERVICES["config"]["env_file"]
    names = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    assert names == [key.name for key in KEYS]  # without values: docker compose takes those of the shell, else of .env


def test_ports_and_addresses_are_those_of_the_settings() -> None:
    text, table = (ROOT / "docker-compose.yml").read_text(), {key.name: key.default for key in KEYS}
    for name, default in re.findall(r"\$\{((?:[A-Z]+_PORT)|MONITOR_[A-Z]+):-([^}]+)\}", text):
        assert table[name] == default
    for part, port in INSIDE.by_part().items():
        ports = SERVICES[part].get("ports", [f":{port}"])
        assert ports[0].endswith(f":{port}")


def test_images_of_ours_run_as_users_of_their_own() -> None:
    for part in ("exporter", "healer"):
        text = (ROOT / part / "Dockerfile").read_text()
        assert f"USER {USERS[part]}:{USERS[part]}" in text
        assert f"--uid {USERS[part]} " in text


def test_grafana_has_no_door_without_a_password() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == str(CONTAINER / "admin_password")
    assert environment["GF_DASHBOARDS_MIN_REFRESH_INTERVAL"] == "1s"


def test_grafana_asks_and_tells_nobody_outside() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_GRAVATAR"] == "true"
    for name in ("NEWS_NEWS_FEED_ENABLED", "SNAPSHOTS_EXTERNAL_ENABLED", "ANALYTICS_REPORTING_ENABLED"):
        assert environment[f"GF_{name}"] == "false"


def test_nobody_deletes_lines_from_loki() -> None:
    assert yaml.safe_load((ROOT / "deploy/loki/loki.yml").read_text())["limits_config"]["deletion_mode"] == "disabled"


def test_grafana_finds_what_it_is_provisioned_with() -> None:
    mounted = volumes_of("grafana")
    providers = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/boards.yml").read_text())["providers"]
    assert [mounted[one["options"]["path"]] for one in providers] == ["./grafana/dashboards"]
    assert mounted["/etc/grafana/provisioning"] == "./grafana/provisioning"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / mounted[str(Path(home).parent)] / Path(home).name).exists()


def test_grafanas_sources_are_services() -> None:
    files = (ROOT / "grafana/provisioning/datasources").glob("*.yml")
    sources = {one["name"]: one["url"] for file in files for one in yaml.safe_load(file.read_text())["datasources"]}
    assert sorted(sources) == ["Loki", "Prometheus"]
    for url in sources.values():
        host, port = re.fullmatch(r"http://([a-z]+):(\d+)", url).groups()  # type: ignore[union-attr]
        assert SERVICES[host]["ports"][0].endswith(f":{port}")
