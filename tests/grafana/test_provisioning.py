"""grafana/provisioning: what Grafana reads when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from grafana.builder.variables import PROMETHEUS_UID

ROOT = Path(__file__).resolve().parents[2]
PROVISIONING = ROOT / "grafana" / "provisioning"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_data_sources_have_fixed_and_different_uids() -> None:
    sources = [source for file in PROVISIONING.glob("datasources/*.yml") for source in read(file)["datasources"]]
    assert {source["type"]: source["uid"] for source in sources} == {
        "prometheus": "vllm-monitor-prometheus",
        "loki": "vllm-monitor-loki",
    }
    assert PROMETHEUS_UID == "vllm-monitor-prometheus"
    assert [source["type"] for source in sources if source.get("isDefault")] == ["prometheus"]


def test_grafana_asks_no_finer_than_prometheus_scrapes() -> None:
    source = read(PROVISIONING / "datasources" / "prometheus.yml")["datasources"][0]
    scraped = read(ROOT / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped


def test_no_data_source_carries_a_secret() -> None:
    sources = [one for file in PROVISIONING.rglob("*.yml") for one in read(file).get("datasources", [])]
    secrets = [secret for source in sources for secret in source.get("secureJsonData", {}).values()]
    assert secrets == ["$__file{/etc/vllm-monitor/prometheus_password}"]  # read by Grafana itself
    plain = {key for source in sources for key in (*source, *source.get("jsonData", {}))}
    assert plain.isdisjoint({"password", "basicAuthPassword", "httpHeaderValue1"})


def test_the_boards_are_loaded_from_one_folder_and_cannot_be_changed_there() -> None:
    (provider,) = read(PROVISIONING / "dashboards" / "boards.yml")["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert provider["allowUiUpdates"] is False
