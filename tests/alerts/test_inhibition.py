"""Which alerts a real Alertmanager holds back while another of the same server fires."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.alerts.live import ask, run_alertmanager, wait_until
from tests.alerts.toolchain import Tools
from tests.patience import PATIENCE

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(120)]

DOWN, STALLED = "a:8000", "b:8000"
NOBODY_LISTENS = 9  # the port "discard": what is notified does not matter here

FIRING = [
    ("VllmDown", DOWN),
    ("VllmProcessOrphaned", DOWN),
    ("VllmEngineStalled", DOWN),
    ("VllmCanaryFailing", DOWN),
    ("VllmQueueOverload", DOWN),
    ("YourOwnAlert", DOWN),
    ("VllmEngineStalled", STALLED),
    ("VllmCanaryFailing", STALLED),
    ("HighLatency", STALLED),
    ("LowThroughput", STALLED),
    ("HighErrorRate", STALLED),
    ("VllmQueueOverload", STALLED),
    ("HighLatency", "c:8000"),
    ("ExporterDown", ""),
    ("Watchdog", ""),
]

HELD_BACK = {
    ("VllmEngineStalled", DOWN),
    ("VllmCanaryFailing", DOWN),
    ("VllmQueueOverload", DOWN),
    ("YourOwnAlert", DOWN),
    ("VllmCanaryFailing", STALLED),
    ("HighLatency", STALLED),
    ("LowThroughput", STALLED),
}


def test_a_server_that_is_down_or_stalled_says_only_that(tools: Tools, tmp_path: Path) -> None:
    with run_alertmanager(tools, tmp_path, NOBODY_LISTENS) as port:
        api = f"http://127.0.0.1:{port}/api/v2/alerts"
        send(api)
        wait_until(lambda: held_back(api) == HELD_BACK, PATIENCE, f"held back are {held_back(api)}")


def send(api: str) -> None:
    alerts = [{"labels": {"alertname": name, **({"server": server} if server else {})}} for name, server in FIRING]
    body = json.dumps(alerts).encode()
    assert ask(api, body)[0] == 200


def held_back(api: str) -> set[tuple[str, str]]:
    alerts = json.loads(ask(api)[1])
    return {
        (alert["labels"]["alertname"], alert["labels"].get("server", ""))
        for alert in alerts
        if alert["status"]["inhibitedBy"]
    }
