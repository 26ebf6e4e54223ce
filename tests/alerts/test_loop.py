"""A stall, from the exporter's page through a real Prometheus and Alertmanager to a real webhook, and back."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.alerts.live import TOKEN, World, ask, run_loop
from tests.alerts.toolchain import Tools
from tests.patience import PATIENCE, wait_for

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(300)]

STALLED = """\
vllm_server_stalled{server="gpu1:8000"} 1
vllm_server_progress_age_seconds{server="gpu1:8000"} 41
vllm_server_stall_limit_seconds{server="gpu1:8000"} 30
"""


def test_nobody_gets_in_without_the_password_and_no_page_of_another_origin(tools: Tools, tmp_path: Path) -> None:
    silence = json.dumps({"matchers": [], "createdBy": "x", "comment": "x"}).encode()
    with run_loop(tools, tmp_path, World("up 1\n")) as ports:
        for port in (ports.prometheus, ports.alertmanager):
            assert ask(f"http://127.0.0.1:{port}/metrics")[0] == 200
            for path in ("/", "/metrics", "/-/ready", "/api/v1/query?query=up", "/api/v2/alerts", "/api/v2/status"):
                assert refused(Request(f"http://127.0.0.1:{port}{path}")) == 401
        api = f"http://127.0.0.1:{ports.alertmanager}/api/v2"
        for path in ("silences", "alerts"):
            assert refused(Request(f"{api}/{path}", silence, {"Content-Type": "application/json"})) == 401
            preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
            assert refused(Request(f"{api}/{path}", headers=preflight, method="OPTIONS")) == 401
        wrong = {"Authorization": "Basic " + base64.b64encode(b"vllm-monitor:guess").decode()}
        assert refused(Request(f"{api}/silences", headers=wrong)) == 401

        def scraped() -> set[str]:
            found = json.loads(ask(f"http://127.0.0.1:{ports.prometheus}/api/v1/query?query=up==1")[1])
            return {one["metric"]["job"] for one in found["data"]["result"]}

        wait_for(lambda: scraped() == {"exporter", "healer", "prometheus", "alertmanager"}, "all scrapes", scraped)


def refused(request: Request) -> int:
    """The status that refused it."""
    with pytest.raises(HTTPError) as raised:
        urlopen(request, timeout=PATIENCE)
    raised.value.close()
    return raised.value.code


def test_a_stall_reaches_the_healer_and_people_and_is_resolved(tools: Tools, tmp_path: Path) -> None:
    world = World(STALLED)
    with run_loop(tools, tmp_path, world):
        told = world.wait_for("/alerts", "VllmEngineStalled", "firing", seconds=60)
        assert told.authorization == f"Bearer {TOKEN}"
        assert len(told.alerts) == 1
        assert told.alerts[0]["labels"] == {
            "alertname": "VllmEngineStalled",
            "severity": "critical",
            "component": "engine",
            "failure_mode": "engine_stalled",
            "healable": "true",
            "server": "gpu1:8000",
        }
        assert told.alerts[0]["annotations"] == {
            "summary": "A vLLM engine makes no progress",
            "description": "gpu1:8000 has work and its engine has shown no progress for 41s (limit 30s); "
            "a canary request is unanswered, or may not be sent, or another engine answers it.",
            "runbook_url": "https://github.com/vllm-monitor/vllm-monitor/blob/main/docs/runbooks/VllmEngineStalled.md",
            "dashboard_url": "/d/vllm-monitor-overview?var-server=gpu1:8000",
        }
        world.wait_for("/human", "VllmEngineStalledUnhealed", "firing", seconds=PATIENCE)  # no healer says that it acts
        assert not any(one.has("VllmEngineStalled") for one in world.received if one.path == "/human")

        world.metrics = STALLED.replace('stalled{server="gpu1:8000"} 1', 'stalled{server="gpu1:8000"} 0')
        world.wait_for("/alerts", "VllmEngineStalled", "resolved", seconds=60)

        world.wait_for("/deadman", "Watchdog", "firing", seconds=PATIENCE)
        assert {one.path for one in world.received if one.has("Watchdog")} == {"/deadman"}
