"""The passwords of Prometheus and Alertmanager: who has them, and that they stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from deploy.config.render import Rendered, render
from deploy.config.settings import Settings, load_settings
from deploy.config.web import render_web

ROOT = Path(__file__).resolve().parents[2]
GUARDED = ("prometheus", "alertmanager")


def render_into(out: Path) -> Rendered:
    return render(ROOT, out.parent, out, Settings(), "gpu1")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("part", GUARDED)
def test_each_asks_for_a_password_of_its_own_that_only_its_owner_reads(tmp_path: Path, part: str) -> None:
    rendered = render_into(tmp_path / "run")
    file = tmp_path / "run" / "secrets" / f"{part}_password"
    password = file.read_text().strip()
    users = load(rendered.file(part).parent / "web.yml")["basic_auth_users"]
    assert list(users) == ["vllm-monitor"]
    assert bcrypt.checkpw(password.encode(), users["vllm-monitor"].encode())
    assert len(password) >= 43  # 256 bits in base64
    assert file.stat().st_mode & 0o777 == 0o600
    assert len({(tmp_path / "run" / "secrets" / f"{one}_password").read_text() for one in GUARDED}) == 2


def test_prometheus_gets_into_itself_and_into_alertmanager(tmp_path: Path) -> None:
    config = load(render_into(tmp_path / "run").file("prometheus"))
    jobs = {job["job_name"]: job.get("basic_auth") for job in config["scrape_configs"]}
    secrets = tmp_path / "run" / "config" / "prometheus"  # copies, of which the healer reads the originals
    for part in GUARDED:
        original = tmp_path / "run" / "secrets" / f"{part}_password"
        assert (secrets / f"{part}_password").read_text() == original.read_text()
    both = {part: {"username": "vllm-monitor", "password_file": str(secrets / f"{part}_password")} for part in GUARDED}
    assert jobs == {**both, "vllm": None, "exporter": None, "healer": None}
    assert [one["basic_auth"] for one in config["alerting"]["alertmanagers"]] == [both["alertmanager"]]


def test_the_healer_gets_into_both_whatever_its_user_wrote(tmp_path: Path) -> None:
    (tmp_path / "healer.yml").write_text("mode: dry_run\nprometheus_http_config: {basic_auth: {username: me}}\n")
    healer = load(render_into(tmp_path / "run").file("healer"))
    for part in GUARDED:
        file = str(tmp_path / "run" / "secrets" / f"{part}_password")
        assert healer[f"{part}_http_config"] == {"basic_auth": {"username": "vllm-monitor", "password_file": file}}


def test_a_run_directory_of_the_release_before_gets_passwords_and_keeps_its_token(tmp_path: Path) -> None:
    secrets = tmp_path / "run" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "healer_token").write_text("old\n")
    render_into(tmp_path / "run")
    assert (secrets / "healer_token").read_text() == "old\n"
    assert all((secrets / f"{part}_password").read_text().strip() for part in GUARDED)


def test_the_same_password_keeps_its_hash_and_another_replaces_it() -> None:
    first = render_web("one\n", "")
    assert render_web("one\n", first) == first
    assert render_web("one", first) == first  # as Prometheus reads it, without the line end
    assert render_web("two", first) != first


@pytest.mark.parametrize(
    "text", ["", "[", "basic_auth_users: {vllm-monitor: plain}", "basic_auth_users: [1]", "x: 1", "just words"]
)
def test_a_file_that_is_no_web_yml_is_replaced(text: str) -> None:
    [hashed] = yaml.safe_load(render_web("one", text))["basic_auth_users"].values()
    assert bcrypt.checkpw(b"one", hashed.encode())


def test_a_second_user_is_not_kept() -> None:
    known = yaml.safe_load(render_web("one", ""))
    known["basic_auth_users"]["guest"] = known["basic_auth_users"]["vllm-monitor"]
    assert "guest" not in render_web("one", yaml.safe_dump(known))


def test_alertmanager_gets_no_password_but_its_own(tmp_path: Path) -> None:
    rendered = render_into(tmp_path / "run")
    names = {path.name for path in rendered.file("alertmanager").parent.glob("*_*")}
    assert names == {"alertmanager_password", "healer_token"}


def test_a_part_of_another_user_gets_copies_of_the_files_that_it_is_told_of(tmp_path: Path) -> None:
    for name, text in (("slack", "https://hooks.example.org/x\n"), ("key", "sk-1\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / ".env").write_text("SLACK_WEBHOOK_URL_FILE=slack\nVLLM_API_KEY_FILE=key\n")
    settings = load_settings(tmp_path / ".env", {}, "gpu1")
    rendered = render(ROOT, tmp_path, tmp_path / "run", settings, "gpu1", ("exporter", "alertmanager"))
    [human] = [one for one in load(rendered.file("alertmanager"))["receivers"] if one["name"] == "human"]
    slack = Path(human["slack_configs"][0]["api_url_file"])
    key = Path(load(rendered.file("exporter"))["targets"][0]["api_key_file"])
    assert (slack.parent, key.parent) == (rendered.config / "alertmanager" / "files", rendered.config / "files")
    assert (slack.read_text(), key.read_text()) == ("https://hooks.example.org/x\n", "sk-1\n")
    again = render(ROOT, tmp_path, tmp_path / "run", settings, "gpu1")
    assert load(again.file("exporter"))["targets"][0]["api_key_file"] == str(tmp_path / "key")
    assert not slack.exists()
