"""Every query of every board, asked of the stack's own Prometheus while a real vLLM works."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

import pytest

from tests.e2e.harness import httpio
from tests.e2e.harness.load import Load
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.vllm_server import VllmServer
from tests.grafana.written import BOARDS, CHOSEN, everything

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CLIENTS, TOKENS, SECONDS = 4, 64, 60.0

# What a working server shows, on the host of the tests, which has no GPU.
SHOWN = {
    "overview": {
        "Service", "Ready", "Firing alerts / critical", "Healer", "Needs a person", "Age", "Request Rate", "Error Rate",
        "P99 Latency", "Throughput", "Active Requests / running", "Active Requests / waiting", "KV Cache Utilization",
        "Servers", "Requests / answered", "Requests / failed", "Latency / whole request P99", "Load / running",
        "Health by server / State", "Health by server / Canary", "Health by server / Running",
        "Health by server / P99 latency", "Health by server / Tokens/s", "Starts",
    },
    "performance": {
        "Latency Percentiles / P50", "Latency Percentiles / P99.9", "Time to First Token / P95",
        "Inter-Token Latency / P99", "Latency Heatmap", "TTFT vs Total Latency / first token P50 (s)",
        "Request Duration Breakdown / queue", "Request Duration Breakdown / prefill",
        "Request Duration Breakdown / decode", "Token Throughput / generated", "Token Throughput / read",
        "KV Cache Utilization / mean", "Waiting by Reason", "Preemptions",
        "Prefix Cache Hits / mean", "Models / Servers", "Models / Tokens/s",
    },
    "resources": {
        "CPU", "Memory", "/dev/shm", "Disk", "CPU Usage", "Memory by Use / size", "Network I/O / received",
        "KV Cache Blocks / {{server}}", "KV Cache Blocks / all there are", "KV Blocks Taken and Given Back / taken",
        "Processes / Memory", "Processes / CPUs",
    },
    "errors": {"Error Rate", "Failed requests", "Engines that died", "OOM Events", "Restarts", "Servers"},
    "fleet": {
        "Known", "Ready", "Versions", "Every server", "States", "Requests by Server / median",
        "Latency by Server / highest", "Longest Queues", "Running by Engine", "Releases and Models",
    },
    "slo": {"Objectives / Promised", "Objectives / Attained, 1 h", "Burn Rate, 1 Hour", "Attainment by Server"},
}  # fmt: skip


@pytest.fixture(scope="module")
def shown(stack: Stack, plain: VllmServer) -> dict[str, dict[str, list[float]]]:
    """Board -> query's name -> values, after a minute of load."""
    stack.ensure(plain, autorestart=True)
    with Load(stack.port, CLIENTS, SECONDS, max_tokens=TOKENS) as load:
        load.wait(SECONDS - 2)
        found = {
            name: {query.name: ask(stack, query.expr) for query in everything(board)} for name, board in BOARDS.items()
        }
    assert set(load.results) == {"ok"}
    return found


def ask(stack: Stack, expr: str) -> list[float]:
    """The present values. A query that Prometheus refuses fails the test."""
    for name, value in CHOSEN.items():
        if name == "server":
            expr = expr.replace(value, stack.name)
    answer = httpio.get_json(f"{stack.urls.prometheus}/api/v1/query?{urlencode({'query': expr})}", 10.0)
    assert answer, f"no answer to {expr}"
    assert answer["status"] == "success", json.dumps(answer)
    return [float(series["value"][1]) for series in answer["data"]["result"]]


@pytest.mark.parametrize("name", BOARDS)
def test_what_a_working_server_has_is_shown(name: str, shown: Mapping[str, Mapping[str, list[float]]]) -> None:
    empty = {query for query in SHOWN[name] if not [value for value in shown[name][query] if value == value]}
    assert empty == set()


def test_the_numbers_are_those_of_the_load(shown: Mapping[str, Mapping[str, list[float]]]) -> None:
    overview, performance = shown["overview"], shown["performance"]
    batches = {name: values for name, values in performance.items() if name.startswith("Throughput by Batch Size")}
    assert any(value > 0 for values in batches.values() for value in values), batches
    assert overview["Service"] == [0]
    assert overview["Ready"] == [0]  # none that is not
    assert overview["Error Rate"] == [0]
    assert 0 <= sum(overview["Active Requests / running"]) <= CLIENTS + 1  # and the canary
    rate, tokens = overview["Request Rate"][0], overview["Throughput"][0]
    assert 0.1 < rate < 100
    assert tokens == pytest.approx(rate * TOKENS, rel=0.4)
    p50, p999 = performance["Latency Percentiles / P50"][0], performance["Latency Percentiles / P99.9"][0]
    assert 0 < p50 <= p999 < 60
    phases = sum(performance[f"Request Duration Breakdown / {phase}"][0] for phase in ("queue", "prefill", "decode"))
    assert 0.2 * p50 < phases < 5 * max(p999, 0.3)  # vLLM's first bucket ends at 0.3 s
    assert 0 < performance["Time to First Token / P95"][0] <= p999
