"""Which alerts a real Alertmanager holds back while another of the same server fires."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.alerts.live import ask, run_alertmanager, wait_until
from tests.alerts.toolchain import Tools
from tests.patience import PATIENCE

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(120)]

DOWN, STALLED, HEALED = "a:8000", "b:8000", "c:8000"
NOBODY_LISTENS = 9  # the port "discard": what is notified does not matter here
HEALABLE, PAGE = {"healable": "true"}, {"healable": "false", "notify": "people"}

FIRING: list[tuple[str, str, dict[str, str]]] = [
    ("VllmDown", DOWN, HEALABLE),
    ("VllmDownUnhealed", DOWN, PAGE),
    ("VllmProcessOrphaned", DOWN, HEALABLE),
    ("VllmEngineStalled", DOWN, HEALABLE),
    ("VllmCanaryFailing", DOWN, {"healable": "false"}),
    ("HighErrorRate", DOWN, {"healable": "false"}),
    ("YourOwnAlert", DOWN, {}),
    ("VllmEngineStalled", STALLED, HEALABLE),
    ("VllmEngineStalledUnhealed", STALLED, PAGE),
    ("VllmCanaryFailing", STALLED, {"healable": "false"}),
    ("HighLatency", STALLED, {"healable": "false"}),
    ("LowThroughput", STALLED, {"healable": "false"}),
    ("HighErrorRate", STALLED, {"healable": "false"}),
    ("VllmQueueOverload", STALLED, HEALABLE),
    ("VllmStraggler", STALLED, {"healable": "false"}),
    ("VllmHealed", HEALED, PAGE),
    ("SloBurnFast", HEALED, {"healable": "false"}),
    ("VllmDown", HEALED, HEALABLE),
    ("VllmDownUnhealed", HEALED, PAGE),
    ("HighLatency", "d:8000", {"healable": "false"}),
    ("HighErrorRate", "d:8000", {"healable": "false"}),
    ("ExporterDown", "", {"healable": "false"}),
    ("Watchdog", "", {"healable": "false"}),
]

HELD_BACK = {
    ("VllmCanaryFailing", DOWN),
    ("HighErrorRate", DOWN),
    ("YourOwnAlert", DOWN),
    ("VllmCanaryFailing", STALLED),
    ("HighLatency", STALLED),
    ("LowThroughput", STALLED),
    ("HighErrorRate", STALLED),
    ("SloBurnFast", HEALED),
}


ASIDE, MAINTAINED, FAULTY, HOST = "d:8000", "e:8000", "f:8000", "h"
CASES = [  # alert, its labels, whether it is held back
    ("VllmSetAside", {"server": ASIDE, "state": "draining"}, False),
    ("HighErrorRate", {"server": ASIDE, "component": "traffic"}, True),
    ("VllmCanaryFailing", {"server": ASIDE, "component": "engine"}, True),
    ("VllmEngineStalled", {"server": ASIDE, "component": "engine", "healable": "true"}, False),
    ("VllmProcessOrphaned", {"server": ASIDE, "component": "server"}, False),
    ("VllmSetAside", {"server": MAINTAINED, "state": "maintenance"}, False),
    ("VllmProcessOrphaned", {"server": MAINTAINED, "healable": "true"}, True),
    ("YourOwnAlert", {"server": MAINTAINED}, True),
    ("VllmQuarantined", {"server": FAULTY, "component": "gpu"}, False),
    ("VllmStepTimedOut", {"server": FAULTY, "component": "engine", "healable": "false"}, True),
    ("HostUnreachable", {"host": HOST, "component": "host"}, False),
    ("VllmDown", {"server": "h:8000", "host": HOST, "component": "server"}, True),
    ("ExporterDown", {"instance": "h:9855", "host": HOST, "component": "monitoring"}, True),
    ("VllmDown", {"server": "i:8000", "host": "i", "component": "server"}, False),
]


@pytest.mark.parametrize("state", ["weights_loading", "draining", "sleeping"])
def test_what_is_set_aside_says_nothing_of_its_answers(state: str, tools: Tools, tmp_path: Path) -> None:
    """In each of these states; a host that is gone, a faulty GPU and maintenance beside them."""
    wanted = {name_of(name, labels) for name, labels, held in CASES if held}
    with run_alertmanager(tools, tmp_path, NOBODY_LISTENS) as port:
        api = f"http://127.0.0.1:{port}/api/v2/alerts"
        sent = [{**labels, "state": state} if labels.get("state") == "draining" else labels for _, labels, _ in CASES]
        body = [{"labels": {"alertname": case[0], **labels}} for case, labels in zip(CASES, sent, strict=True)]
        assert ask(api, json.dumps(body).encode())[0] == 200
        wait_until(lambda: held(api) == wanted, PATIENCE, f"held back are {held(api)}")


def name_of(alert: str, labels: dict[str, str]) -> tuple[str, str]:
    return alert, labels.get("server") or labels.get("instance") or labels["host"]


def held(api: str) -> set[tuple[str, str]]:
    alerts = json.loads(ask(api)[1])
    return {name_of(one["labels"]["alertname"], one["labels"]) for one in alerts if one["status"]["inhibitedBy"]}


def test_a_server_that_is_down_or_stalled_says_only_that_and_the_healer_hears_of_all_that_it_acts_on(
    tools: Tools, tmp_path: Path
) -> None:
    with run_alertmanager(tools, tmp_path, NOBODY_LISTENS) as port:
        api = f"http://127.0.0.1:{port}/api/v2/alerts"
        send(api)
        wait_until(lambda: held_back(api) == HELD_BACK, PATIENCE, f"held back are {held_back(api)}")


def send(api: str) -> None:
    alerts = [
        {"labels": {"alertname": name, **labels, **({"server": server} if server else {})}}
        for name, server, labels in FIRING
    ]
    body = json.dumps(alerts).encode()
    assert ask(api, body)[0] == 200


def held_back(api: str) -> set[tuple[str, str]]:
    alerts = json.loads(ask(api)[1])
    return {
        (alert["labels"]["alertname"], alert["labels"].get("server", ""))
        for alert in alerts
        if alert["status"]["inhibitedBy"]
    }
