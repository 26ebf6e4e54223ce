"""What the containers are given: one directory for each part, with its files and secrets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.config.filled import Filled
from deploy.config.settings import Settings, load_settings
from deploy.config.volumes import fill_volumes
from deploy.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
Fill = Callable[..., Filled]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(ROOT / name, copy / name)
    for part in ("exporter", "healer"):
        (copy / part).mkdir()
        shutil.copy(ROOT / part / f"{part}.yml", copy / part)
    return copy


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Whom each path was given to; only root may do it really."""
    given: dict[str, int] = {}
    monkeypatch.setattr("os.chown", lambda path, user, group: given.update({str(path): user}))
    return given


@pytest.fixture
def fill(checkout: Path, tmp_path: Path, owners: dict[str, int]) -> Fill:
    def run(**env: str) -> Filled:
        settings: Settings = load_settings(checkout / ".env", env, "box")
        return fill_volumes(checkout, tmp_path / "out", settings, "box")

    return run


def read(tmp_path: Path, name: str) -> Any:
    return yaml.safe_load((tmp_path / "out" / name).read_text())


def test_parts_reach_each_other_by_name(fill: Fill, tmp_path: Path) -> None:
    fill(EXPORTER_PORT="19855", PROMETHEUS_PORT="19090")
    jobs = read(tmp_path, "prometheus/prometheus.yml")["scrape_configs"]
    static = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs if "static_configs" in job}
    assert static == {
        "exporter": ["172.16.98.1:19855"],  # on the host, whose port it is
        "healer": ["healer:9856"],
        "prometheus": ["prometheus:9090"],  # in a container, whose port stays
        "alertmanager": ["alertmanager:9093"],
    }
    healer = read(tmp_path, "healer/healer.yml")
    assert (healer["listen"], healer["prometheus_url"]) == ("0.0.0.0:9856", "http://prometheus:9090")
    assert read(tmp_path, "exporter/exporter.yml")["listen"] == "127.0.0.1:19855,172.16.98.1:19855"


def test_a_server_on_loopback_keeps_the_hosts_name_and_gets_an_address_that_containers_reach(
    fill: Fill, tmp_path: Path
) -> None:
    filled = fill(VLLM_TARGETS="localhost:8000 gpu2:8000")
    assert json.loads((tmp_path / "out/prometheus/targets/vllm.json").read_text()) == [
        {"targets": ["host.docker.internal:8000"], "labels": {"server": "box:8000"}},
        {"targets": ["gpu2:8000"], "labels": {"server": "gpu2:8000"}},
    ]
    addresses = [target["address"] for target in read(tmp_path, "exporter/exporter.yml")["targets"]]
    assert addresses == ["localhost:8000", "gpu2:8000"]  # the exporter is on the host
    assert filled.targets == {"box:8000": "localhost:8000", "gpu2:8000": "gpu2:8000"}


def test_the_healer_looks_at_the_host_from_its_container(fill: Fill, checkout: Path, tmp_path: Path) -> None:
    (checkout / "healer.yml").write_text(
        "targets:\n"
        "  - {server: 'localhost:8000', actuator: docker, options: {socket: 'unix:///run/x', container: vllm}}\n"
        "  - {server: 'gpu2:8000', actuator: supervisord, options: {url: 'http://127.0.0.1:9001', program: v}}\n"
    )
    first, second = (fill(), read(tmp_path, "healer/healer.yml")["targets"])[1]
    assert (first["server"], first["url"]) == ("localhost:8000", "http://host.docker.internal:8000")
    assert first["options"] == {"socket": "unix:///run/x", "container": "vllm"}
    assert (second["url"], second["options"]["url"]) == ("http://gpu2:8000", "http://host.docker.internal:9001")


def test_the_two_ends_of_the_webhook_share_a_secret_that_stays(fill: Fill, tmp_path: Path) -> None:
    fill()
    token = (tmp_path / "out/healer/healer_token").read_text()
    password = (tmp_path / "out/grafana/admin_password").read_text()
    assert len(token.strip()) >= 43
    assert len(password) >= 24
    fill(VLLM_TARGETS="gpu2:8000")
    assert (tmp_path / "out/healer/healer_token").read_text() == token
    assert (tmp_path / "out/alertmanager/healer_token").read_text() == token
    assert (tmp_path / "out/grafana/admin_password").read_text() == password
    [healer] = [one for one in read(tmp_path, "alertmanager/alertmanager.yml")["receivers"] if one["name"] == "healer"]
    credentials = healer["webhook_configs"][0]["http_config"]["authorization"]["credentials_file"]
    assert credentials == "/etc/vllm-monitor/healer_token"


def test_each_volume_belongs_to_the_one_user_that_reads_it(fill: Fill, tmp_path: Path, owners: dict[str, int]) -> None:
    fill()
    out = tmp_path / "out"
    assert owners[str(out / "healer/healer_token")] == 9856
    assert owners[str(out / "alertmanager/healer_token")] == 65534
    assert owners[str(out / "prometheus/targets")] == 65534
    assert owners[str(out / "grafana")] == 472
    modes = {path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_files_that_settings_name_travel_along(fill: Fill, checkout: Path, tmp_path: Path) -> None:
    (checkout / "secrets").mkdir()
    (checkout / "secrets" / "slack").write_text("https://hooks.example.org/x\n")
    (checkout / "secrets" / "key").write_text("sk-1\n")
    fill(SLACK_WEBHOOK_URL_FILE="secrets/slack", VLLM_API_KEY_FILE="secrets/key")
    [human] = [one for one in read(tmp_path, "alertmanager/alertmanager.yml")["receivers"] if one["name"] == "human"]
    slack = Path(human["slack_configs"][0]["api_url_file"])
    key = Path(read(tmp_path, "exporter/exporter.yml")["targets"][0]["api_key_file"])
    assert slack.parent == key.parent == Path("/etc/vllm-monitor/files")
    assert (tmp_path / "out/alertmanager/files" / slack.name).read_text() == "https://hooks.example.org/x\n"
    assert (tmp_path / "out/exporter/files" / key.name).read_text() == "sk-1\n"


def test_a_file_that_no_container_sees_is_named_with_the_fix(fill: Fill, checkout: Path) -> None:
    (checkout / "healer.yml").write_text("fallback_webhook_file: /nowhere/url\n")
    with pytest.raises(SettingsError, match=r"/nowhere/url: .* files of the checkout only: copy it there"):
        fill()


def test_only_what_a_part_reads_at_its_start_makes_it_anew(fill: Fill) -> None:
    before, after = fill(VLLM_TARGETS="gpu1:8000").digests, fill(VLLM_TARGETS="gpu2:8000").digests
    # Prometheus reads its list anew.
    assert [part for part in before if before[part] != after[part]] == ["exporter", "healer"]
    assert fill(VLLM_TARGETS="gpu2:8000").digests == after


def test_the_proxy_is_asked_for_where_a_container_is_listed(fill: Fill, checkout: Path, tmp_path: Path) -> None:
    assert fill().profiles == ()
    options = "{socket: 'unix:///run/docker-proxy/docker.sock', container: vllm}"
    (checkout / "healer.yml").write_text(f"targets: [{{server: 'a:1', actuator: docker, options: {options}}}]\n")
    assert fill().profiles == ("docker-actuator",)
    assert "/containers/(vllm)/json$" in (tmp_path / "out/docker-proxy/haproxy.cfg").read_text()


def test_a_server_that_is_not_watched_is_told(fill: Fill, checkout: Path) -> None:
    assert fill(VLLM_TARGETS="localhost:8000").warnings == ()
    (checkout / "healer.yml").write_text("targets: [{server: 'localhost:8001', actuator: dry_run}]\n")
    unlisted, unwatched = fill(VLLM_TARGETS="localhost:8000").warnings
    assert unlisted.startswith("watched, but not in healer.yml: box:8000. ")
    assert unwatched.startswith("in healer.yml, but not watched: box:8001. ")


def test_no_secret_is_in_what_is_said(fill: Fill, tmp_path: Path) -> None:
    line = fill().line()
    assert (tmp_path / "out/healer/healer_token").read_text().strip() not in line
    assert (tmp_path / "out/grafana/admin_password").read_text() not in line


def test_each_part_is_given_the_passwords_that_it_needs_and_no_other(fill: Fill, tmp_path: Path) -> None:
    fill()
    given = {part.name: {file.name for file in part.glob("*_*")} for part in (tmp_path / "out").iterdir()}
    assert given == {
        "alertmanager": {"healer_token", "alertmanager_password"},
        "docker-proxy": set(),
        "exporter": set(),
        "grafana": {"admin_password", "prometheus_password"},
        "healer": {
            "healer_token",
            "healer_operator_token",
            "healer_read_token",
            "alertmanager_password",
            "prometheus_password",
        },
        "prometheus": {"alertmanager_password", "prometheus_password"},
    }
    for part in ("prometheus", "alertmanager"):
        client = read(tmp_path, f"{part}/client.yml")["basic_auth"]
        assert client == {"username": "vllm-monitor", "password_file": f"/etc/vllm-monitor/{part}_password"}
        assert list(read(tmp_path, f"{part}/web.yml")["basic_auth_users"]) == ["vllm-monitor"]


def test_filling_the_volumes_again_changes_nothing(fill: Fill, tmp_path: Path) -> None:
    first = fill().digests
    texts = {path: path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert fill().digests == first
    assert {path: path.read_text() for path in texts} == texts
