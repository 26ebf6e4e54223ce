"""Metrics of a program of one's own: what programs and tests that were written for these names read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml  # type: ignore[import-untyped]
import pytest
import requests
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from tests.monitor.test_stats import counts
from tests.patience import wait_for
from tests.ports import free_port
from vllm_monitor import (
    InstrumentedLLMEngine,
    VLLMMetrics,
    gpu_metrics_updater,
    process,
    start_metrics_server,
    vllm_metrics,
)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No exporter: the directory of snapshot files is not there."""
    monkeypatch.setenv("VLLM_MONITOR_DIR", str(tmp_path / "absent"))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def fresh(registry: CollectorRegistry) -> VLLMMetrics:
    return VLLMMetrics(registry)


def test_reads_see_what_was_recorded_just_before(fresh: Any) -> None:
    fresh.record_request(latency=1.5, status="success", tokens=100, ttft=0.1)
    fresh.record_request(latency=2.0, status="success", tokens=200, ttft=0.2)
    fresh.record_request(latency=0.5, status="error", tokens=0, ttft=None)
    assert fresh.request_counter.labels(status="success")._value._value == 2
    assert fresh.tokens_generated._value._value == 300
    assert fresh.throughput._value._value == 100
    assert fresh.request_latency._sum._value == 4.0
    assert fresh.ttft_latency._sum._value == pytest.approx(0.3)


def test_its_histograms_have_the_bounds_of_the_part_inside_and_those_that_programs_read(
    fresh: VLLMMetrics, registry: CollectorRegistry
) -> None:
    """Else one family would have two sets of bounds, by whoever is scraped."""
    fresh.record_request(latency=1.5, ttft=0.1)
    text = generate_latest(registry).decode()

    def bounds(name: str) -> list[float]:
        return [float(line.split('"')[1]) for line in text.splitlines() if line.startswith(f"{name}_bucket")][:-1]

    assert bounds("vllm_request_latency_seconds") == [
        0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300,
    ]  # fmt: skip
    assert bounds("vllm_time_to_first_token_seconds") == [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60,
    ]  # fmt: skip


def test_it_can_be_built_twice_and_the_newer_one_is_served(registry: CollectorRegistry) -> None:
    VLLMMetrics(registry).record_request(1.0)
    VLLMMetrics(registry).record_request(1.0, "error")
    text = generate_latest(registry).decode()
    assert 'vllm_requests_total{status="error"} 1.0' in text
    assert 'status="success"' not in text


def test_a_scrape_sees_what_was_recorded_just_before(fresh: VLLMMetrics, registry: CollectorRegistry) -> None:
    fresh.record_request(0.3, tokens=5, ttft=0.04)
    text = generate_latest(registry).decode()
    assert 'vllm_requests_total{status="success"} 1.0' in text
    assert 'vllm_time_to_first_token_seconds_bucket{le="0.05"} 1.0' in text
    assert "vllm_tokens_generated_total 5.0" in text


def test_without_a_gpu_its_gauges_stay_empty(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    fresh.update_gpu_metrics(gpu_id=0)
    assert next(iter(fresh.gpu_utilization.collect())).samples == []


def test_a_gpu_that_is_there_is_read(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        vllm_metrics, "read_gpu", lambda index: SimpleNamespace(utilization=7, memory_used=1, memory_total=9)
    )
    fresh.update_gpu_metrics(gpu_id=2)
    assert fresh.gpu_memory_total.labels(gpu_id="2")._value._value == 9


def test_gauges_of_sequences_come_from_the_schedulers_state(fresh: Any) -> None:
    fresh.update_vllm_metrics(SimpleNamespace(num_running=3, num_waiting=2, num_swapped=0, kv_cache_util=0.25))
    assert fresh.num_running_sequences._value._value == 3
    assert fresh.kv_cache_utilization._value._value == 25
    assert fresh.scheduler_iterations._value._value == 1


def test_a_state_that_lacks_something_leaves_the_rest(fresh: Any) -> None:
    fresh.update_vllm_metrics(SimpleNamespace(num_running=3))
    assert fresh.num_running_sequences._value._value == 3


def test_threads_lose_no_request(fresh: Any) -> None:
    def record() -> None:
        for _ in range(20_000):
            fresh.record_request(0.1, tokens=1)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fresh.tokens_generated._value._value == 80_000


def test_what_nobody_reads_is_counted_all_the_same(fresh: Any) -> None:
    fresh.record_request(0.1)
    wait_for(lambda: fresh._request_counter.labels(status="success")._value._value == 1)


def test_a_process_that_ends_writes_its_counts_for_multiprocess_mode(tmp_path: Path) -> None:
    code = "from vllm_monitor import metrics; metrics.record_request(0.5, tokens=3)"
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    reader = (
        "from prometheus_client import CollectorRegistry, generate_latest, multiprocess\n"
        "registry = CollectorRegistry(); multiprocess.MultiProcessCollector(registry)\n"
        "print(generate_latest(registry).decode())"
    )
    text = subprocess.run([sys.executable, "-c", reader], env=env, capture_output=True, text=True, check=True).stdout
    assert "vllm_tokens_generated_total 3.0" in text


def test_the_metrics_server_listens_on_loopback(registry: CollectorRegistry, fresh: VLLMMetrics) -> None:
    port = free_port()
    server, thread = start_metrics_server(port, registry=registry)
    try:
        assert server.server_address[0] == "127.0.0.1"
        assert "vllm_tokens_generated_total" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    finally:
        server.shutdown()
        thread.join()


def test_prometheus_own_port_is_kept_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(vllm_metrics, "start_http_server", lambda *given: asked.extend(given))
    start_metrics_server()
    assert asked == [9090, "127.0.0.1", REGISTRY]
    assert "9090 is also Prometheus' own port" in caplog.text


def test_the_gpu_updater_ends_when_it_is_told() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=gpu_metrics_updater, args=(0, 0.01, stop))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


class FakeLlm:
    """Answers two prompts, as vLLM's V1 does."""

    model = "tiny"

    def generate(self, prompts: Any, sampling_params: Any = None, **options: Any) -> Any:
        if sampling_params == "bad":
            raise ValueError("bad sampling parameters")
        own = SimpleNamespace(first_token_latency=0.25, first_token_ts=100.0, last_token_ts=101.0)
        outputs = [SimpleNamespace(token_ids=(1, 2, 3))]
        return [SimpleNamespace(outputs=outputs, metrics=own), SimpleNamespace(outputs=outputs, metrics=None)]


def test_an_offline_engine_counts_each_request(fresh: Any) -> None:
    engine = InstrumentedLLMEngine(FakeLlm(), fresh)
    assert len(engine.generate(["a", "b"], "params")) == 2
    assert engine.model == "tiny"
    assert fresh.request_counter.labels(status="success")._value._value == 2
    assert fresh.tokens_generated._value._value == 6
    assert fresh.ttft_latency._sum._value == 0.25
    assert fresh.request_latency._sum._value == pytest.approx(1.25, abs=0.1)


def test_an_offline_engine_that_raises_counts_one_error(fresh: Any) -> None:
    with pytest.raises(ValueError, match="bad sampling"):
        InstrumentedLLMEngine(FakeLlm(), fresh).generate(["a"], "bad")
    assert fresh.request_counter.labels(status="error")._value._value == 1


@pytest.fixture
def seen_by_the_exporter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("VLLM_MONITOR_DIR", str(tmp_path))
    monkeypatch.setattr(process, "_this", None)
    yield
    here = process._this
    if here is not None:
        here.background.stop()


def test_with_an_exporter_it_sees_them_too(seen_by_the_exporter: None, registry: CollectorRegistry) -> None:
    made = VLLMMetrics(registry)
    made.record_request(0.5, tokens=7, ttft=0.1)
    made.flush()
    here = process._this
    assert here is not None
    found = wait_for(lambda: counts(here.background.series).get("vllm_tokens_generated_total"))
    assert found == [7]
