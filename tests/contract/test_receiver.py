"""The receiver that sends to the healer has the name that the healer looks for in Alertmanager."""

from __future__ import annotations

from pathlib import Path

import yaml

from vllm_healer.config import Config
from vllm_healer.web.door import WEBHOOK

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_alertmanager_sends_to_the_healer_by_the_receiver_that_it_looks_for() -> None:
    configured = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    names = [
        receiver["name"]
        for receiver in configured["receivers"]
        for webhook in receiver.get("webhook_configs", ())
        if webhook["url"].endswith(f":9856{WEBHOOK}")
    ]
    assert names == [Config.alertmanager_receiver]
