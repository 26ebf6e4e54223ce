"""Rules and alerts name only series that something publishes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from tests.exporter.families import every_family
from vllm_healer.metrics import HealerMetrics

PROMETHEUS = Path(__file__).resolve().parents[2] / "prometheus"
FILES = sorted([*PROMETHEUS.glob("rules/*.rules.yml"), *PROMETHEUS.glob("alerts/*.alerts.yml")])

# Names that the in-process library publishes; fixed, so that the rules take them from any program that has them.
LIBRARY = {
    "vllm_requests_total",
    "vllm_request_errors_total",
    "vllm_request_latency_seconds",
    "vllm_time_to_first_token_seconds",
    "vllm_tokens_generated_total",
}

RAW = re.compile(r"(?<![\w:])vllm_\w+(?!:)\b")
RECORDED = re.compile(r"\b(?:engine|server|server_model|model|fleet|instance):\w+(?::\w+)+")


def test_every_series_of_ours_in_a_rule_is_published() -> None:
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for text in texts() for name in RAW.findall(text)}
    assert used - exporter_names() - healer_names() - LIBRARY == set()


def test_every_recorded_series_in_a_rule_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for text in texts() for name in RECORDED.findall(text)}
    assert used - recorded == set()


def test_every_recorded_series_in_the_docs_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    pages = sorted((PROMETHEUS.parent / "docs").rglob("*.md"))
    used = {name for page in pages for name in RECORDED.findall(page.read_text())}
    assert used - recorded == set()


def test_every_recorded_signal_is_on_the_page_of_recorded_series() -> None:
    page = (PROMETHEUS.parent / "docs" / "recorded-series.md").read_text()
    signals = {str(rule["record"]).split(":", 1)[1] for rule in rules() if "record" in rule}
    elsewhere = ("vllm_threshold:", "vllm_slo", "vllm_target:group")  # their own pages; no signal
    left = {one for one in signals if not one.startswith(elsewhere) and one not in page}
    quantiles = {one for one in left if f"`:{one.rpartition(':')[2]}`" in page and one.rpartition(":")[0] in page}
    buckets = {one for one in left if one.endswith("_bucket:rate2m")}
    assert left - quantiles - buckets == set()


def test_no_group_has_more_rules_than_mimir_takes() -> None:
    groups = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
    assert [group["name"] for group in groups if len(group["rules"]) > 20] == []


def test_the_search_finds_names_and_leaves_recorded_series_alone() -> None:
    text = 'max by (server) (vllm_process_orphans{server="vllm_x:1"}) > on (server) server:vllm_threshold:queue'
    assert "vllm_process_orphans" in RAW.findall(text)
    assert "vllm_threshold" not in RAW.findall(text)
    assert RECORDED.findall(text) == ["server:vllm_threshold:queue"]


def exporter_names() -> set[str]:
    return {family.name for family in every_family()}


def healer_names() -> set[str]:
    registry = CollectorRegistry()
    HealerMetrics(registry)
    families = list(registry.collect())
    return {family.name for family in families} | {sample.name for family in families for sample in family.samples}


def texts() -> Iterator[str]:
    """What is evaluated: expressions, and annotations, which may query."""
    for rule in rules():
        annotations = rule.get("annotations", {})
        assert isinstance(annotations, dict)
        yield from (str(rule["expr"]), *annotations.values())


def rules() -> Iterator[dict[str, object]]:
    for file in FILES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]
