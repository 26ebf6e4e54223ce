"""A Grafana that is installed runs beside the parts, with the boards in it; where none can, `make up` says why."""

from __future__ import annotations

import configparser
import socket
from pathlib import Path

import pytest
import yaml

from deploy.config.files import sync_directory
from deploy.config.render import render
from deploy.config.settings import Ports, Settings
from deploy.native import own_grafana
from deploy.native.layout import Layout
from deploy.native.own_grafana import Installed, choose_grafana, find_command, find_home, grafana_program
from deploy.native.programs import parse_addresses, render_conf
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted(file.name for file in (ROOT / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(ROOT, tmp_path / "run", tmp_path / ".env")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """As the archive that Grafana offers is unpacked, with bin/ on PATH."""
    home = install(tmp_path / "opt", "grafana")
    monkeypatch.setenv("PATH", str(home / "bin"))
    return Installed((str(home / "bin" / "grafana"), "server"), home)


def install(home: Path, *names: str) -> Path:
    for name in ("conf/defaults.ini", *(f"bin/{name}" for name in names)):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("#!/bin/sh\n")
        (home / name).chmod(0o755)
    return home


def settings(**more: object) -> Settings:
    return Settings(**{"grafana_port": free_port(), **more})  # type: ignore[arg-type]


def test_an_installed_grafana_is_chosen(layout: Layout, installed: Installed) -> None:
    choice = choose_grafana(layout, settings(), ())
    assert (choice.installed, choice.why) == (installed, "")


def test_without_one_it_says_where_the_boards_lie(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    choice = choose_grafana(layout, settings(), ())
    assert choice.installed is None
    assert choice.why.startswith(f"no Grafana is on PATH: import {ROOT}/grafana/dashboards/*.json")


def test_who_names_a_grafana_gets_no_second_one(layout: Layout, installed: Installed) -> None:
    choice = choose_grafana(layout, settings(grafana_url="https://grafana.example.org"), ())
    assert choice.installed is None
    assert "GRAFANA_TOKEN_FILE" in choice.why


def test_a_grafana_that_holds_the_port_already_stops_nothing(layout: Layout, installed: Installed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        choice = choose_grafana(layout, settings(grafana_port=port), ())
        assert choice.installed is None
        assert f"since port {port} is held by " in choice.why
        assert "set GRAFANA_PORT in .env" in choice.why


def test_the_port_of_another_part_is_not_taken(layout: Layout, installed: Installed) -> None:
    choice = choose_grafana(layout, settings(grafana_port=Ports().prometheus), ())
    assert f"since port {Ports().prometheus} is held by prometheus" in choice.why


def test_a_program_without_its_pages_is_not_started(layout: Layout, installed: Installed) -> None:
    (installed.home / "conf" / "defaults.ini").unlink()
    assert "conf/defaults.ini was not found" in choose_grafana(layout, settings(), ()).why


def test_a_checkout_without_boards_starts_none(tmp_path: Path, installed: Installed) -> None:
    bare = Layout(tmp_path / "bare", tmp_path / "run", tmp_path / ".env")
    assert choose_grafana(bare, settings(), ()).why == "none in this checkout"


def test_an_older_release_has_a_program_of_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = install(tmp_path / "old", "grafana-server")
    monkeypatch.setenv("PATH", str(home / "bin"))
    assert find_command() == (str(home / "bin" / "grafana-server"),)


def test_the_pages_of_a_package_lie_below_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = install(tmp_path / "share" / "grafana")
    (tmp_path / "sbin").mkdir()
    assert find_home(tmp_path / "sbin" / "grafana") == home
    monkeypatch.setattr(own_grafana, "_SYSTEM_HOME", home)
    assert find_home(Path("/elsewhere/bin/grafana")) == home


def rendered(layout: Layout, chosen: Settings) -> Path:
    made = render(ROOT, layout.home, layout.run, chosen, "gpu1", with_grafana=True)
    return made.config / "grafana"


def test_it_reads_copies_of_the_boards_and_asks_our_prometheus(layout: Layout) -> None:
    config = rendered(layout, settings(ports=Ports(prometheus=1090)))
    (provider,) = yaml.safe_load((config / "provisioning/dashboards/boards.yml").read_text())["providers"]
    assert sorted(file.name for file in Path(provider["options"]["path"]).iterdir()) == BOARDS
    (file,) = (config / "provisioning/datasources").iterdir()  # natively there is no Loki
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    assert source["url"] == "http://127.0.0.1:1090"
    secret = Path(source["secureJsonData"]["basicAuthPassword"].removeprefix("$__file{").removesuffix("}"))
    assert secret.read_text() == layout.password("prometheus").read_text()


def ini_of(config: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(config / "grafana.ini")
    return parser


def test_its_password_is_random_kept_and_in_no_setting(layout: Layout) -> None:
    chosen = settings()
    config = rendered(layout, chosen)
    password = (layout.run / "secrets" / "grafana_password").read_text().strip()
    assert len(password) > 40
    assert ini_of(config)["security"]["admin_password"] == f"$__file{{{config}/admin_password}}"
    assert (config / "admin_password").read_text().strip() == password
    assert (config / "admin_password").stat().st_mode & 0o777 == 0o600
    assert password not in (config / "grafana.ini").read_text()
    rendered(layout, chosen)
    assert (config / "admin_password").read_text().strip() == password


def test_it_is_as_closed_as_the_one_in_containers(layout: Layout) -> None:
    ini = ini_of(rendered(layout, settings()))
    environment = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["environment"]
    ours = {
        f"GF_{section}_{key}".upper().replace(".", "_"): value for section in ini for key, value in ini[section].items()
    }
    places = {"GF_SECURITY_ADMIN_PASSWORD__FILE", "GF_SERVER_ROOT_URL", "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"}
    expected = {name: value for name, value in environment.items() if name.startswith("GF_") and name not in places}
    assert expected.items() <= ours.items()
    assert ini["server"]["http_addr"] == "127.0.0.1"


def test_messages_link_to_it(layout: Layout) -> None:
    chosen = settings()
    link = f"http://127.0.0.1:{chosen.grafana_port}"
    assert link in (rendered(layout, chosen).parent / "alertmanager/templates/vllm.tmpl").read_text()
    without = render(ROOT, layout.home, layout.run, chosen, "gpu1")
    assert link not in (without.config / "alertmanager/templates/vllm.tmpl").read_text()
    assert not [file for file in (without.config / "grafana").rglob("*") if file.is_file()]


def test_a_changed_board_does_not_restart_it_and_a_changed_password_does(tmp_path: Path, installed: Installed) -> None:
    files = {"grafana.ini": "a", "provisioning/dashboards/boards.yml": "b", "dashboards/x.json": "c"}

    def started(**changed: str) -> str:
        sync_directory(tmp_path / "config", {**files, **changed})
        return grafana_program(installed, tmp_path / "config", 3000).environment["CONFIG_DIGEST"]

    first = started()
    assert started(**{"dashboards/x.json": "new"}) == first
    assert started(prometheus_password="new") != first
    assert started(**{"provisioning/dashboards/boards.yml": "new"}) != first


def test_status_finds_its_address(layout: Layout, installed: Installed, tmp_path: Path) -> None:
    program = grafana_program(installed, tmp_path, 1300)
    assert parse_addresses(render_conf(layout, (program,))) == {"grafana": "http://127.0.0.1:1300"}
