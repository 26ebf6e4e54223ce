"""Each family of the exporter is read by a rule, an alert or a board, or listed in docs/metrics.md."""

from __future__ import annotations

from pathlib import Path

from tests.exporter.families import every_family

ROOT = Path(__file__).resolve().parents[2]
LISTED = (ROOT / "docs" / "metrics.md").read_text().partition("## For your own queries")[2]


def test_every_family_is_read_or_listed() -> None:
    patterns = ("prometheus/rules/*.yml", "prometheus/alerts/*.yml", "grafana/dashboards/*.json")
    text = "\n".join(file.read_text() for pattern in patterns for file in ROOT.glob(pattern))
    names = {family.name for family in every_family()}
    assert {name for name in names if name not in text and f"`{name}`" not in LISTED} == set()


def test_what_an_alert_reads_is_not_listed() -> None:
    assert "`vllm_gpu_lost`" not in LISTED
    assert "`vllm_server_stalled`" not in LISTED
