"""GET /metrics against what vLLM 0.32.0 says: fixtures/vllm_0_32_series.json was taken from a real server's text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.simulator.engine.model import EngineOptions, Finished, Gauges, StepResult
from deploy.simulator.metrics.cells import number_text
from deploy.simulator.metrics.process import process_text
from deploy.simulator.metrics.recorder import Recorder, cache_labels
from deploy.simulator.metrics.registry import CONTENT_TYPE, Registry

FIXTURE = Path(__file__).parent / "fixtures" / "vllm_0_32_series.json"

# Labels whose values depend on the machine and the options; in the fixture only their names stand.
VARY = frozenset({
    "model_name", "version", "patchlevel", "minor", "num_gpu_blocks", "block_size", "kv_cache_max_concurrency",
    "kv_cache_memory_bytes", "kv_cache_size_tokens", "effective_attention_block_size",
})  # fmt: skip

Families = dict[str, dict[str, object]]


def parse(text: str) -> Families:
    """Type, help, label sets and buckets by family, in the text's order."""
    found: Families = {}
    for line in text.splitlines():
        if line.startswith("# "):
            _, kind, name, rest = line.split(" ", 3)
            found.setdefault(name, {"series": []})[kind.lower()] = rest
            continue
        match = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? \S+", line)
        assert match, line
        labels = re.findall(r'(\w+)="([^"]*)"', match[2] or "")
        entry = found[_family(match[1], found)]
        _add(entry, labels)
    return found


def _family(name: str, families: Families) -> str:
    plain = re.sub(r"_(bucket|sum|count)$", "", name)
    return name if name in families else plain


def _add(entry: dict[str, object], labels: list[tuple[str, str]]) -> None:
    limits = [float(value) for label, value in labels if label == "le" and value != "+Inf"]
    known, series = entry.setdefault("le", []), entry["series"]
    assert isinstance(known, list)
    assert isinstance(series, list)
    known += [limit for limit in limits if limit not in known]
    words = [label if label in VARY else f"{label}={value}" for label, value in labels if label != "le"]
    if words not in series:
        series.append(words)


@pytest.fixture
def registry() -> Registry:
    return Registry("sim", cache_labels(EngineOptions()))


def test_families_types_words_labels_and_buckets_are_those_of_vllm(registry: Registry) -> None:
    Recorder(registry).http("/v1/completions", "POST", 200, 0.1, 10, 10)
    ours = parse("\n".join([*process_text(), *registry.text()]))
    theirs = json.loads(FIXTURE.read_text())
    assert list(ours) == list(theirs)
    for name, family in theirs.items():
        entry = ours[name]
        assert (name, entry["type"], entry["help"]) == (name, family["type"], family["help"])
        assert (name, entry["series"]) == (name, family["series"])
        assert (name, entry.get("le") or []) == (name, family.get("le", []))


def test_http_families_have_no_samples_before_the_first_request(registry: Registry) -> None:
    text = "\n".join(registry.text())
    assert "# TYPE http_requests_total counter" in text
    assert "http_requests_total{" not in text
    assert "http_requests_created" not in text


def test_the_content_type_is_vllms() -> None:
    assert CONTENT_TYPE == "text/plain; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (12, "12.0"), (1079449, "1.079449e+06"), (999999.5, "999999.5"), (0.1, "0.1"), (2e9, "2e+09")],
)
def test_numbers_are_written_as_prometheus_client_does(value: float, text: str) -> None:
    assert number_text(value) == text


def test_a_step_without_output_moves_the_gauges_and_no_counter(registry: Registry) -> None:
    Recorder(registry).step(StepResult(1.0, Gauges(running=1, kv_usage=0.25)))
    assert registry.number("vllm:kv_cache_usage_perc").value == 0.25
    assert registry.histogram("vllm:iteration_tokens_total").count == 0


def test_a_step_with_output_counts_one_iteration_of_its_tokens(registry: Registry) -> None:
    step = StepResult(
        1.0, new_tokens=["a", "b"], computed_prompt_tokens=30, cached_prompt_tokens=10, first_tokens=[0.2]
    )
    Recorder(registry).step(step)
    iterations = registry.histogram("vllm:iteration_tokens_total")
    assert (iterations.count, iterations.sum) == (1, 32)
    assert registry.number("vllm:prompt_tokens_total").value == 40
    assert registry.number("vllm:prompt_tokens_by_source_total", "local_cache_hit").value == 10
    assert registry.number("vllm:generation_tokens_total").value == 2


def test_a_finished_request_is_observed_once_in_each_histogram(registry: Registry) -> None:
    finished = Finished("a", "length", 50, 10, 4, 4, 0, e2e=2.0, queued=0.5, prefill=0.3, decode=1.2)
    Recorder(registry).step(StepResult(1.0, finished=[finished]))
    assert registry.number("vllm:request_success_total", "length").value == 1
    assert registry.histogram("vllm:request_inference_time_seconds").sum == 1.5
    assert registry.histogram("vllm:request_time_per_output_token_seconds").sum == pytest.approx(0.4)
    assert registry.histogram("vllm:request_prefill_kv_computed_tokens").sum == 40


def test_probes_are_not_counted_as_requests(registry: Registry) -> None:
    recorder = Recorder(registry)
    for path in ("/metrics", "/health", "/load", "/ping", "/version", "/server_info"):
        recorder.http(path, "GET", 200, 0.01, 1, 0)
    assert "http_requests_total{" not in "\n".join(registry.text())


def test_statuses_are_grouped(registry: Registry) -> None:
    Recorder(registry).http("none", "POST", 404, 0.01, 1, 0)
    assert 'http_requests_total{handler="none",method="POST",status="4xx"} 1.0' in registry.text()


def test_sleeping_has_its_own_state_and_level_0_none(registry: Registry) -> None:
    recorder = Recorder(registry)
    recorder.sleep_state("weights_offloaded")
    assert registry.number("vllm:engine_sleep_state", "awake").value == 0
    assert registry.number("vllm:engine_sleep_state", "weights_offloaded").value == 1
    recorder.sleep_state("")
    assert registry.number("vllm:engine_sleep_state", "weights_offloaded").value == 0
