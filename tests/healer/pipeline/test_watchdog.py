"""Whose Watchdog counts: an Alertmanager may be shared, and kube-prometheus' alert has the same name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from vllm_healer.model import Standing
from vllm_healer.pipeline.watchdog import LABEL, NAME, VALUE, missing_watchdog

ROOT = Path(__file__).resolve().parents[3]
KUBE_PROMETHEUS = {"severity": "none", "prometheus": "monitoring/kube-prometheus", "namespace": "monitoring"}


def test_ours_counts_whatever_external_labels_its_prometheus_adds(cases: ModuleType) -> None:
    ours = cases.alert("Watchdog", "", severity="none", part_of="vllm-monitor", cluster="a", replica="0")
    another = cases.alert("Watchdog", "", **KUBE_PROMETHEUS)
    assert missing_watchdog((ours,)) == ""
    assert missing_watchdog((another, ours)) == ""


@pytest.mark.parametrize("labels", [{}, {"severity": "none"}, KUBE_PROMETHEUS, {"part_of": "kube-prometheus"}])
def test_another_one_does_not_count_and_the_words_say_what_to_load(cases: ModuleType, labels: dict[str, str]) -> None:
    """pingcap/dead-mans-switch#3; the second is that of this product's own release before."""
    words = missing_watchdog((cases.alert("Watchdog", "", **labels), cases.alert("VllmDown")))
    assert words.startswith('Alertmanager has a Watchdog, but none with part_of="vllm-monitor", so it may be another')
    assert "load prometheus/alerts/monitoring.alerts.yml of this release" in words


def test_ours_does_not_count_while_it_is_silenced(cases: ModuleType) -> None:
    ours = replace(cases.alert("Watchdog", "", part_of="vllm-monitor"), standing=Standing.SUPPRESSED)
    assert missing_watchdog((ours,)).startswith("our Watchdog is silenced or inhibited in Alertmanager (end that")


def test_an_alert_of_another_name_with_our_label_is_no_watchdog(cases: ModuleType) -> None:
    others = (cases.alert("VllmDown", part_of="vllm-monitor"),)
    assert missing_watchdog(others) == "Alertmanager has no Watchdog alert from Prometheus"
    assert missing_watchdog(()) == "Alertmanager has no Watchdog alert from Prometheus"


def test_the_shipped_rule_has_the_label_that_the_healer_looks_for() -> None:
    document = yaml.safe_load((ROOT / "prometheus/alerts/monitoring.alerts.yml").read_text())
    rules = [rule for group in document["groups"] for rule in group["rules"] if rule["alert"] == NAME]
    assert [rule["labels"][LABEL] for rule in rules] == [VALUE]
