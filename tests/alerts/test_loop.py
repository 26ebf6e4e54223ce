"""A stall, from the exporter's page through a real Prometheus and Alertmanager to a real webhook, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alerts.live import TOKEN, World, run_loop
from tests.alerts.toolchain import Tools
from tests.patience import PATIENCE

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(300)]

STALLED = """\
vllm_server_stalled{server="gpu1:8000"} 1
vllm_server_progress_age_seconds{server="gpu1:8000"} 41
vllm_server_stall_limit_seconds{server="gpu1:8000"} 30
"""


def test_a_stall_reaches_the_healer_and_people_and_is_resolved(tools: Tools, tmp_path: Path) -> None:
    world = World(STALLED)
    with run_loop(tools, tmp_path, world):
        told = world.wait_for("/alerts", "VllmEngineStalled", "firing", seconds=60)
        assert told.authorization == f"Bearer {TOKEN}"
        assert len(told.alerts) == 1
        assert told.alerts[0]["labels"] == {
            "alertname": "VllmEngineStalled",
            "severity": "critical",
            "server": "gpu1:8000",
        }
        assert told.alerts[0]["annotations"] == {
            "summary": "A vLLM engine makes no progress",
            "description": "gpu1:8000 has work and its engine has shown no progress for 41s (limit 30s); "
            "a canary request is unanswered, or may not be sent.",
            "runbook_url": "https://github.com/vllm-monitor/vllm-monitor/blob/main/docs/runbooks/VllmEngineStalled.md",
        }
        world.wait_for("/human", "VllmEngineStalled", "firing", seconds=PATIENCE)

        world.metrics = STALLED.replace('stalled{server="gpu1:8000"} 1', 'stalled{server="gpu1:8000"} 0')
        world.wait_for("/alerts", "VllmEngineStalled", "resolved", seconds=60)

        world.wait_for("/deadman", "Watchdog", "firing", seconds=PATIENCE)
        assert {one.path for one in world.received if one.has("Watchdog")} == {"/deadman"}
