"""What the healer learns of a real Alertmanager with the shipped configuration: what it sends, and what it mutes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from deploy.config.access import USER, password_name
from deploy.config.mute import Mute
from deploy.config.routes import route_to_people
from tests.alerts.live import World, ask, run_alertmanager, serve, wait_until
from tests.alerts.toolchain import Tools, output_of
from tests.patience import PATIENCE
from vllm_healer.amapi import Alertmanager
from vllm_healer.model import Standing
from vllm_healer.net.http_config import BasicAuth, HttpConfig

pytestmark = pytest.mark.alerts

SERVER = "gpu1:8000"
NOBODY_LISTENS = 9  # the discard port
MAINTENANCE = """
time_intervals:
  - name: maintenance
    time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]
"""


def test_an_alert_is_sent_to_the_healer_until_a_mute_time_begins(tools: Tools, tmp_path: Path) -> None:
    """prometheus/alertmanager#3513. Before 0.28 neither is known, and only what a webhook brought may be acted on."""
    knows = version(tools) >= (0, 28)
    with run_alertmanager(tools, tmp_path, NOBODY_LISTENS) as port:
        url = f"http://127.0.0.1:{port}"
        alert = {"labels": {"alertname": "VllmDown", "server": SERVER, "severity": "critical", "healable": "true"}}
        assert ask(f"{url}/api/v2/alerts", json.dumps([alert]).encode())[0] == 200
        wait_for_standing(url, tmp_path, Standing.SENT if knows else Standing.UNKNOWN)

        config = tmp_path / "config" / "alertmanager" / "alertmanager.yml"
        route = "      receiver: healer\n"
        muted = config.read_text().replace(route, f"{route}      mute_time_intervals: [maintenance]\n") + MAINTENANCE
        config.write_text(muted)
        assert ask(f"{url}/-/reload", b"")[0] == 200
        wait_for_standing(url, tmp_path, Standing.MUTED if knows else Standing.UNKNOWN)


def test_a_mute_time_of_people_does_not_concern_the_healer(tools: Tools, tmp_path: Path) -> None:
    """What Alertmanager mutes for the healer, the healer does not act on."""
    always = Mute(({"times": [{"start_time": "00:00", "end_time": "24:00"}]},), ("critical",))
    world = World("")
    with serve(world) as page, run_alertmanager(tools, tmp_path, page) as port:
        url = f"http://127.0.0.1:{port}"
        config = tmp_path / "config" / "alertmanager" / "alertmanager.yml"
        muted = yaml.safe_load(config.read_text())
        muted["route"] = route_to_people(muted["route"], (), always)
        muted["time_intervals"] = [{"name": "quiet", "time_intervals": list(always.intervals)}]
        config.write_text(yaml.safe_dump(muted))
        assert ask(f"{url}/-/reload", b"")[0] == 200
        critical = {"labels": {"alertname": "VllmDown", "server": SERVER, "severity": "critical"}}
        warning = {"labels": {"alertname": "HighLatency", "severity": "warning"}}
        assert ask(f"{url}/api/v2/alerts", json.dumps([critical, warning]).encode())[0] == 200
        wait_for_standing(url, tmp_path, Standing.SENT if version(tools) >= (0, 28) else Standing.UNKNOWN)
        world.wait_for("/alerts", "VllmDown", "firing", PATIENCE)
        world.wait_for("/human", "HighLatency", "firing", PATIENCE)
        assert not any(one.has("VllmDown") for one in world.received if one.path == "/human")


def wait_for_standing(url: str, home: Path, expected: Standing) -> None:
    password = str(home / "secrets" / password_name("alertmanager"))
    asking = Alertmanager(url, http_config=HttpConfig(basic_auth=BasicAuth(USER, password)))

    def standings() -> list[Standing]:
        return [alert.standing for alert in asking.active(frozenset({SERVER}))]

    wait_until(lambda: standings() == [expected], PATIENCE, f"it is {standings()}, not {expected}")


def version(tools: Tools) -> tuple[int, int]:
    """Of `alertmanager, version 0.34.2 (branch: …)`; Debian adds to it."""
    major, minor = output_of(tools.alertmanager, "--version").split("version ")[1].split(".")[:2]
    return int(major), int(minor)
