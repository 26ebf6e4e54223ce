"""The directory of vLLM's own counts: a default that works natively and in containers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import yaml

from deploy.config.parts import render_exporter
from deploy.config.settings import Settings, load_settings
from deploy.config.site import container_site
from deploy.config.sources import read_source
from deploy.config.targets import Target
from deploy.errors import SettingsError
from deploy.native.monitor_dir import choose_owner, make_monitor_dir
from tests.deploy.test_render import PORTS, ROOT, render_into


def test_it_is_made_closed_to_other_writers(tmp_path: Path) -> None:
    folder = tmp_path / "vllm-monitor"
    before = os.umask(0o077)
    try:
        assert make_monitor_dir(folder, os.geteuid()) == ""
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o7777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives it away")
def test_root_gives_it_to_vllms_user(tmp_path: Path) -> None:
    folder = tmp_path / "vllm-monitor"
    assert make_monitor_dir(folder, 4711) == ""
    assert folder.stat().st_uid == 4711


def test_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert make_monitor_dir(tmp_path, 4711) == ""
    assert (tmp_path.stat().st_uid, tmp_path.stat().st_mode & 0o7777) == (os.geteuid(), 0o1777)


def test_where_it_cannot_be_made_a_person_is_told_how(tmp_path: Path) -> None:
    folder = tmp_path / "absent" / "vllm-monitor"
    assert make_monitor_dir(folder, 0) == (
        f"for what only vLLM's processes know: sudo install -d -o root {folder}; docs/inside-vllm.md"
    )


def test_it_belongs_to_the_user_of_the_servers_else_to_who_asks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        here = Target(f"localhost:{port}", f"gpu1:{port}")
        assert choose_owner([here, Target("gpu2:8000", "gpu2:8000")], {"SUDO_UID": "4711"}) == os.geteuid()
    by_sudo = 4711 if os.geteuid() == 0 else os.geteuid()
    assert choose_owner([here], {"SUDO_UID": "4711"}) == by_sudo
    assert choose_owner([], {"SUDO_UID": "x"}) == os.geteuid()


def directory_of(text: str) -> object:
    return yaml.safe_load(text)["collectors"]["inside"]["directory"]


def test_the_setting_reaches_the_exporter(tmp_path: Path) -> None:
    rendered = render_into(tmp_path, Settings(monitor_dir="/srv/vllm", ports=PORTS))
    assert directory_of(rendered.file("exporter").read_text()) == "/srv/vllm"


def test_without_it_the_default_of_both_holds(tmp_path: Path) -> None:
    assert not directory_of(render_into(tmp_path).file("exporter").read_text())


def test_in_containers_it_is_mounted_where_the_default_is(tmp_path: Path) -> None:
    site = container_site(PORTS, "172.16.98.1")
    source = read_source(ROOT, tmp_path, "exporter")
    assert not directory_of(render_exporter(source, Settings(monitor_dir="/srv/vllm"), (), site))


@pytest.mark.parametrize("value", ["snapshots", "/", "/run/a:/run/b"])
def test_what_is_no_directory_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / ".env").write_text(f"VLLM_MONITOR_DIR={value}\n")
    with pytest.raises(SettingsError, match=r"\.env line 1: VLLM_MONITOR_DIR is .*: write the whole path"):
        load_settings(tmp_path / ".env", {}, "gpu1")
