"""The health of everything: fields, their units, and the text at 80 columns."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from tests.exporter import told
from tests.exporter.fakes import FakeClock
from vllm_exporter.facts.events import Bus
from vllm_exporter.facts.facts import Gpus, GpuSight, Lifecycles, ServerSight, Sights, Trees, VllmProcess
from vllm_exporter.facts.values import EngineValues, Health, Ref
from vllm_exporter.metrics.family import Family
from vllm_exporter.metrics.series import Layout
from vllm_exporter.run.runner import View
from vllm_exporter.web.pages import Recent
from vllm_exporter.web.summary import HealthFacts, make_stats
from vllm_exporter.web.summary_text import make_summary

NOW = 1_700_000_000.0
GIB = 1024**3
TOTAL = Family("vllm_host_memory_total_bytes", "gauge", "x")
AVAILABLE = Family("vllm_host_memory_available_bytes", "gauge", "x")
MEMORY = Layout([(TOTAL, ()), (AVAILABLE, ())]).block([64 * GIB, 40 * GIB])
SYSTEM = View("system", "ok", "", 0.001, MEMORY, 1.0, 0, 0.0, 1.0)
PROBE = View("probe", "failed", "no route to host", 0.1, None, None, 3, 0.0, 1.0)

SERVING = ServerSight(
    health="ok",
    ready_age=400.0,
    progress_age=0.4,
    stalled=False,
    work=True,
    paused=False,
    sleeping=False,
    canary_ok=True,
    canary_failures=0,
    values=EngineValues(running=47, waiting=3, kv_usage=0.256),
    model_name="llama",
    version="0.32.0",
    canary_seconds=0.213,
    canary_first_token=0.208,
    stall_limit=30.0,
)
DOWN = ServerSight("refused", problem="connection refused")
KNOWN = HealthFacts(
    now=NOW,
    servers=("gpu1:8000", "gpu1:8001"),
    views=(SYSTEM, PROBE),
    sights=Sights({"gpu1:8000": SERVING, "gpu1:8001": DOWN}),
    trees=Trees({7: VllmProcess(Ref(7, 1), "api_server", "", "gpu1:8000", 1, "S", resident=3 * GIB)}),
    gpus=Gpus(
        (
            GpuSight("0", "GPU-1", "NVIDIA H100 80GB HBM3", False, 0.97, 71 * GIB, 80 * GIB, 64.0),
            GpuSight("1", "GPU-2", "NVIDIA H100 80GB HBM3", lost=True),
        )
    ),
    lifecycles=Lifecycles({"gpu1:8000": ("SERVING", 380.0)}),
    threads=9,
)


def test_the_fields_that_users_know_are_there_in_their_units() -> None:
    stats = make_stats(KNOWN)
    assert {key: stats[key] for key in list(stats)[:8]} == {
        "timestamp": NOW,
        "num_running_requests": 47,
        "num_waiting_requests": 3,
        "num_swapped_requests": 0,
        "gpu_cache_usage_percent": 25.6,
        "cpu_cache_usage_percent": None,
        "system_ram_used_mb": 24 * 1024,
        "process_ram_mb": 3 * 1024,
    }
    assert (stats["active_threads"], stats["pending_tasks"]) == (9, 0)
    assert stats["gpu_stats"][0]["memory_percent"] == 88.8  # 71 of 80 GiB
    assert stats["gpu_stats"][1]["lost"] is True
    assert json.loads(json.dumps(stats)) == stats


def test_a_server_has_its_state_its_probes_and_its_processes() -> None:
    serving, down = make_stats(KNOWN)["servers"]
    assert (serving["state"], serving["state_seconds"], serving["processes"]) == ("SERVING", 380.0, 1)
    assert (serving["canary_ok"], serving["stall_limit_seconds"], serving["version"]) == (True, 30.0, "0.32.0")
    assert (down["state"], down["health"], down["running"]) == ("down", "refused", None)


@pytest.mark.parametrize("summary", ["a:8000 is stalled, was serving for 9 s", "is stalled"])
def test_an_event_names_its_server_once(summary: str) -> None:
    bus = Bus(FakeClock())
    recent = Recent(bus.subscribe())
    bus.emit(told.changed(summary, "critical", server="a:8000"))
    [said] = make_stats(HealthFacts(NOW, (), (SYSTEM,), Sights({}), events=recent.events()))["errors"]
    assert said.count("a:8000") == 1


def test_errors_name_servers_collectors_and_the_last_events() -> None:
    bus = Bus(FakeClock(NOW))
    recent = Recent(bus.subscribe())
    bus.emit(told.changed("is ready", server="gpu1:8000"))
    for number in range(7):
        bus.emit(told.xid(number, "error"))
    events = recent.events()
    assert [event.summary for event in events] == ["XID 2", "XID 3", "XID 4", "XID 5", "XID 6"]
    assert recent.events() == events  # they stay until newer ones come
    known = HealthFacts(NOW, KNOWN.servers, KNOWN.views, KNOWN.sights, events=events[-1:])
    at = time.strftime("%H:%M:%S", time.localtime(NOW))
    assert make_stats(known)["errors"] == [
        "gpu1:8001: connection refused",
        "collector probe: no route to host",
        f"{at} XID 6",
    ]


def test_a_stall_and_failed_canaries_are_errors() -> None:
    stalled = ServerSight(
        "ok",
        progress_age=41.0,
        work=True,
        stalled=True,
        canary_ok=False,
        canary_failures=4,
        values=EngineValues(8, 0),
    )
    stats = make_stats(HealthFacts(NOW, ("a:1",), (), Sights({"a:1": stalled})))
    assert stats["errors"] == ["a:1: stalled, no progress for 41 s", "a:1: 4 test requests in a row failed"]
    assert stats["servers"][0]["state"] == "stalled"


@pytest.mark.parametrize(
    ("health", "problem", "errors"),
    [
        ("ok", "", []),
        ("timeout", "", ["a:1: /health: no answer within 2.5 s"]),
        ("timeout", "/metrics: timed out", ["a:1: /health: no answer within 2.5 s", "a:1: /metrics: timed out"]),
        ("503", "", ["a:1: /health: 503, the engine has died"]),
        ("other", "", ["a:1: /health: neither 200 nor 503"]),
        ("refused", "", ["a:1: /health: connection refused"]),
        ("refused", "connection refused", ["a:1: connection refused"]),
    ],
)
def test_a_health_that_is_not_fine_is_an_error(health: Health, problem: str, errors: list[str]) -> None:
    sight = replace(SERVING, health=health, problem=problem)
    known = HealthFacts(NOW, ("a:1",), (), Sights({"a:1": sight}), health_timeout=2.5)
    assert make_stats(known)["errors"] == errors


def test_the_text_has_a_table_of_servers() -> None:
    lines = make_summary(make_stats(KNOWN)).splitlines()
    assert lines[0] == f"=== vLLM Health Stats @ {time.strftime('%H:%M:%S', time.localtime(NOW))} ==="
    assert lines[1:4] == [
        "server     state    run  wait   KV  canary    TTFT  progress",
        "gpu1:8000  serving   47     3  26%  0.21 s  0.21 s   0 s ago",
        "gpu1:8001  down       -     -    -       -       -         -",
    ]
    assert "GPU 0  NVIDIA H100 80GB HBM3: 97% busy, memory 89% of 80 GiB, 64 °C" in lines
    assert "GPU 1  NVIDIA H100 80GB HBM3: lost (fallen off the bus)" in lines
    assert "Memory: host 24.0 GiB used, vLLM's processes 3.0 GiB" in lines
    assert lines[-2:] == ["! gpu1:8001: connection refused", "! collector probe: no route to host"]


@pytest.mark.parametrize("name", ["gpu1:8000", "inference-7.cluster-a.region-3.datacentre.example.com:8000"])
def test_no_line_is_wider_than_80_columns(name: str) -> None:
    known = HealthFacts(
        NOW, (name,), KNOWN.views, Sights({name: SERVING}), lifecycles=Lifecycles({name: ("S" * 20, 1.0)})
    )
    assert max(map(len, make_summary(make_stats(known)).splitlines())) <= 80


def test_a_server_that_the_exporter_has_not_seen_since_it_started_is_being_looked_for() -> None:
    begins = View("probe", "not_run", "", 0.0, None, None, 0, 0.0, 1.0)
    first = make_stats(HealthFacts(NOW, ("a:1",), (begins,)))
    second = make_stats(HealthFacts(NOW, ("a:1", "b:1"), (), Sights({"b:1": SERVING})))
    assert [one["state"] for one in (*first["servers"], *second["servers"])] == ["looking", "looking", "ready"]
    assert (first["errors"], second["errors"]) == ([], ["a:1: the first probe waits for an answer"])


def test_what_is_not_known_is_said_so() -> None:
    stats = make_stats(HealthFacts(NOW, ("a:1",), ()))
    assert (stats["num_running_requests"], stats["system_ram_used_mb"], stats["gpu_stats"]) == (None, None, [])
    text = make_summary(stats)
    assert "a:1     unknown    -     -   -       -     -         -" in text
    assert "Memory: not known" in text
    assert "No errors." in text
    assert "set VLLM_TARGETS" in make_summary(make_stats(HealthFacts(NOW, (), ())))
