"""What the rules make of a real vLLM 0.32: idle, under load, with ranks, LoRA, its statistics off."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.alerts.releases import SCRAPE, STEPS, line
from tests.alerts.test_releases import case
from tests.alerts.toolchain import PROMETHEUS, Tools, output_of

pytestmark = pytest.mark.alerts

CAPTURES = Path(__file__).parents[3] / "shared" / "data" / "vllm" / "captures"
FILES = sorted(CAPTURES.glob("*.prom"))
SECONDS = 15 * STEPS
SUMS = {
    "server:vllm_requests_running:sum": "vllm:num_requests_running",
    "server:vllm_requests_waiting:sum": "vllm:num_requests_waiting",
}
LARGEST = {"server:vllm_kv_cache_usage_ratio:max": "vllm:kv_cache_usage_perc"}
RATES = {
    "server:vllm_generation_tokens:rate1m": "vllm:generation_tokens_total",
    "server:vllm_prompt_tokens:rate1m": "vllm:prompt_tokens_total",
    "server:vllm_preemptions:rate1m": "vllm:num_preemptions_total",
}
MEDIANS = {
    "server:vllm_e2e_seconds:p50_2m": "vllm:e2e_request_latency_seconds",
    "server:vllm_ttft_seconds:p50_2m": "vllm:time_to_first_token_seconds",
    "server:vllm_inter_token_seconds:p50_2m": "vllm:inter_token_latency_seconds",
    "server:vllm_queue_seconds:p50_2m": "vllm:request_queue_time_seconds",
}


@pytest.mark.skipif(not FILES, reason=f"no captures in {CAPTURES}")
def test_gives_what_the_capture_says(tools: Tools, tmp_path: Path) -> None:
    """Gauges as they are; counters as if all had come evenly within the time that the rules look at."""
    captures = {file.name.removesuffix(".prom"): samples(file) for file in FILES}
    lines = [line_of(sample, name) for name, found in captures.items() for sample in found]
    values: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for name, found in captures.items():
        for signal, value in expected(found).items():
            values[signal].append((f'{{server="{name}"}}', value))
    document = {
        "rule_files": [str(file) for file in sorted(PROMETHEUS.glob("rules/*.rules.yml"))],
        "evaluation_interval": SCRAPE,
        "tests": [
            {
                "interval": SCRAPE,
                "input_series": lines,
                "promql_expr_test": [case(signal, found) for signal, found in values.items()],
            }
        ],
    }
    file = tmp_path / "captures.test.yml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    output_of(tools.promtool, "test", "rules", file)


def samples(file: Path) -> list[Sample]:
    return [
        sample
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def line_of(sample: Sample, server: str) -> dict[str, str]:
    labels = {"job": "vllm", "instance": server, "server": server, **sample.labels}
    counts = sample.name.endswith(("_total", "_bucket", "_sum", "_count"))
    values = f"0+{sample.value / STEPS:.17g}x{STEPS}" if counts else f"{sample.value:g}x{STEPS}"
    return line(
        sample.name, {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in labels.items()}, values
    )


def expected(found: list[Sample]) -> dict[str, float]:
    """Returns signal -> value, computed from the text alone."""
    by_name: dict[str, list[Sample]] = defaultdict(list)
    for sample in found:
        by_name[sample.name].append(sample)
    values: dict[str, float] = {}
    for signal, name in SUMS.items():
        if by_name[name]:
            values[signal] = sum(sample.value for sample in by_name[name])
    for signal, name in LARGEST.items():
        if by_name[name]:
            values[signal] = round(max(sample.value for sample in by_name[name]), 4)
    for signal, name in RATES.items():
        if by_name[name]:
            values[signal] = round(sum(sample.value for sample in by_name[name]) / SECONDS, 4)
    for signal, name in MEDIANS.items():
        median = median_of(by_name[f"{name}_bucket"])
        if median is not None:
            values[signal] = round(median, 4)
    return values


def median_of(buckets: list[Sample]) -> float | None:
    """Returns the median by linear interpolation, as Prometheus documents it; None without observations."""
    counts: dict[float, float] = defaultdict(float)
    for sample in buckets:
        counts[float(sample.labels["le"])] += sample.value
    bounds = sorted(counts)
    if not bounds or not counts[bounds[-1]]:
        return None
    half, below, start = counts[bounds[-1]] / 2, 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= half:
            return (
                start if bound == float("inf") else start + (bound - start) * (half - below) / (counts[bound] - below)
            )
        below, start = counts[bound], bound
    raise AssertionError("the last bucket has all")
