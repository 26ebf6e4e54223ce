"""Who hears of what, and what the message says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.alerts.toolchain import ALERTMANAGER, Tools, output_of

pytestmark = pytest.mark.alerts

CONFIG = ALERTMANAGER / "alertmanager.yml"

ROUTES = [
    ("alertname=VllmDown server=gpu1:8000 severity=critical healable=true", "healer,nobody"),
    ("alertname=VllmDown server=gpu1:8000 severity=critical healable=false", "healer,human"),
    ("alertname=VllmEngineStalled server=gpu1:8000 severity=critical healable=true", "healer,nobody"),
    ("alertname=VllmDownUnhealed server=gpu1:8000 severity=critical healable=false notify=people", "human"),
    ("alertname=HealerNeedsPerson server=gpu1:8000 severity=critical healable=false notify=people", "human"),
    ("alertname=VllmHealed server=gpu1:8000 severity=info healable=false notify=people", "human"),
    ("alertname=VllmQueueOverload server=gpu1:8000 severity=warning healable=true", "healer,human"),
    ("alertname=LowThroughput server=gpu1:8000 severity=info healable=false", "healer,human"),
    ("alertname=YourOwnAlert server=gpu1:8000", "healer,human"),
    ("alertname=VllmProcessOrphaned severity=critical healable=true", "human"),  # of no known server
    ("alertname=ExporterDown instance=127.0.0.1:9855 severity=warning", "human"),
    ("alertname=HealerDown instance=127.0.0.1:9856 severity=warning", "human"),
    ("alertname=HealerGaveUp instance=127.0.0.1:9856 target=gpu1:8000 severity=warning", "human"),
    ("alertname=Watchdog severity=none part_of=vllm-monitor", "deadman"),
]


def test_alertmanager_accepts_the_configuration(tools: Tools) -> None:
    output_of(tools.amtool, "check-config", CONFIG)


@pytest.mark.parametrize(("labels", "receivers"), ROUTES, ids=[labels.split()[0] for labels, _ in ROUTES])
def test_routes_each_alert_to(tools: Tools, labels: str, receivers: str) -> None:
    routed = output_of(tools.amtool, "config", "routes", "test", f"--config.file={CONFIG}", *labels.split())
    assert routed.strip() == receivers


MESSAGE = """\
[1 firing] VllmDown on gpu1:8000
A vLLM server is down (critical)
gpu1:8000 refuses connections.
Since: 2026-01-02 03:04:05 UTC
Runbook: https://example.org/VllmDown.md
Graph: http://prometheus:9090/graph
Silence: http://alertmanager:9093/#/silences/new?filter=%7Balertname%3D%22VllmDown%22%2Cserver%3D%22gpu1%3A8000%22%7D

Resolved: A vllm-exporter is down
The exporter cannot be scraped.
Since: 2026-01-02 03:04:05 UTC

All alerts: http://alertmanager:9093/#/alerts"""

NOTIFICATION = {
    "receiver": "human",
    "status": "firing",
    "externalURL": "http://alertmanager:9093",
    "commonLabels": {"alertname": "VllmDown", "server": "gpu1:8000"},
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "VllmDown", "server": "gpu1:8000", "severity": "critical"},
            "annotations": {
                "summary": "A vLLM server is down",
                "description": "gpu1:8000 refuses connections.",
                "runbook_url": "https://example.org/VllmDown.md",
            },
            "startsAt": "2026-01-02T03:04:05Z",
            "generatorURL": "http://prometheus:9090/graph",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "ExporterDown"},
            "annotations": {
                "summary": "A vllm-exporter is down",
                "description": "The exporter cannot be scraped.",
            },
            "startsAt": "2026-01-02T03:04:05Z",
        },
    ],
}


def test_the_message_says_what_since_when_and_where_to_look(tools: Tools, tmp_path: Path) -> None:
    data = tmp_path / "notification.json"
    data.write_text(json.dumps(NOTIFICATION))
    text = output_of(
        tools.amtool,
        "template",
        "render",
        f"--template.glob={ALERTMANAGER}/templates/*.tmpl",
        '--template.text={{ template "vllm.title" . }}\n{{ template "vllm.text" . }}',
        f"--template.data={data}",
    )
    assert text.strip() == MESSAGE
