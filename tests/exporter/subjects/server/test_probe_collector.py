"""The probe collector against small servers on loopback, and what it renders."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exporter.answering import Answering, ok
from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from tests.patience import wait_for
from tests.ports import free_port
from vllm_exporter.clock import SystemClock
from vllm_exporter.config.config import Config, ProbeConfig, TargetConfig
from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import Event
from vllm_exporter.facts.facts import (
    EngineStep,
    EngineSteps,
    Gpus,
    GpuSight,
    ServerSight,
    ServerSteps,
    Sights,
    Trees,
    VllmProcess,
)
from vllm_exporter.facts.values import EngineValues, Ref, Role
from vllm_exporter.metrics.family import Sample
from vllm_exporter.net.http import Origin
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.server import families as names
from vllm_exporter.subjects.server.api import DeepAnswer, ServerInfo
from vllm_exporter.subjects.server.canaries import CANARY_RESULTS, CanaryState
from vllm_exporter.subjects.server.engine import Blocks, EngineReading
from vllm_exporter.subjects.server.gaps import EngineEffort
from vllm_exporter.subjects.server.probe_collector import ProbeCollector, choose_effort, origin
from vllm_exporter.subjects.server.series import rows
from vllm_exporter.subjects.server.watch import BlockCounts, ProbeResult

NO_CANARY = CanaryState(None, 0.0, 0, dict.fromkeys(CANARY_RESULTS, 0))
NOTHING = ProbeResult(ServerSight("refused", problem="refused"), NO_CANARY, 0.1)
METRICS = (
    b"process_start_time_seconds 1.7e+09\nvllm:num_requests_running 2\nvllm:num_requests_waiting 1\n"
    b"vllm:kv_cache_usage_perc 0.25\n"
)


VALUES = EngineValues(running=47, waiting=3, swapped=1, kv_usage=0.25, iterations=1234)
CANARY = CanaryState("timeout", 8.0, 2, {"ok": 5, "timeout": 2, "error": 0, "not_applicable": 0}, 0.05, 84, 7)
EVERYTHING = ProbeResult(
    ServerSight(
        "ok",
        ready_age=400.0,
        progress_age=31.0,
        work=True,
        stall_limit=30.0,
        stalled=True,
        paused=False,
        sleeping=False,
        engine_ages={"0": 0.0, "1": 31.0},
        values=VALUES,
    ),
    CANARY,
    0.002,
    EngineReading(VALUES, {"0": VALUES}, {"0": Blocks(100, 25, 74)}),
    {"0": BlockCounts(30, 5)},
    ServerInfo("0.32.0", ("tiny", "lora"), 5.0),
    {"check_health": DeepAnswer(True, 0.003)},
    12,
)


def shown(samples: Iterable[Sample]) -> dict[str, float]:
    """{name{first label values after the server}: value}"""
    return {"/".join((sample.family.name, *sample.values[1:])): sample.value for sample in samples}


def collected(probe: ProbeCollector) -> list[Sample]:
    return samples(probe.collect())


def render(server: str, sighting: ProbeResult) -> list[Sample]:
    return samples(rows(server, sighting))


class Vllm:
    """Answers /health and /metrics, or accepts and says nothing."""

    def __init__(self, hangs: bool = False) -> None:
        self._hangs = hangs
        self.metrics = METRICS
        self._server = Answering(self._answer)
        self.address = self._server.address
        self.close = self._server.close

    def _answer(self, connection: socket.socket) -> None:
        if self._hangs:
            self._server.closing.wait()
            return
        connection.sendall(ok(self.metrics if b" /metrics " in connection.recv(65536) else b""))


@pytest.fixture
def servers() -> Iterator[list[Vllm]]:
    made: list[Vllm] = []
    yield made
    for server in made:
        server.close()


def collector(*targets: TargetConfig) -> ProbeCollector:
    probe = ProbeConfig(interval=0.05, health_timeout=5.0)
    return ProbeCollector(Context(Config(targets=targets, probe=probe), SystemClock()))


def target(address: str, server: str) -> TargetConfig:
    return TargetConfig(address, server, canary=False)


def test_without_targets_there_is_no_data() -> None:
    with pytest.raises(NoData, match="set VLLM_TARGETS"):
        list(collector().collect())


def test_a_server_that_is_down_at_the_start_is_shown_as_down() -> None:
    probe = collector(target(f"127.0.0.1:{free_port()}", "gpu1:8000"))
    seen = shown(collected(probe))
    probe.close()
    assert seen["vllm_probe_health/refused"] == 1
    assert seen["vllm_probe_health/ok"] == 0
    assert seen["vllm_server_ready"] == 0
    assert seen["vllm_server_metrics_readable"] == 0
    assert "vllm_server_stalled" not in seen


def test_a_hanging_server_delays_nobody(servers: list[Vllm], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_exporter.subjects.server.probe_collector.FIRST_LOOK", 0.5)
    servers += [Vllm(hangs=True), Vllm()]
    probe = collector(target(servers[0].address, "gpu1:8000"), target(servers[1].address, "gpu1:8001"))
    started = time.monotonic()
    found = collected(probe)
    assert time.monotonic() - started < 2
    again = time.monotonic()
    list(probe.collect())
    assert time.monotonic() - again < 0.4  # the hanging one is waited for once only
    probe.close()
    assert {sample.values[0] for sample in found} == {"gpu1:8001"}  # of the other nothing is known yet
    seen = shown(found)
    assert (seen["vllm_probe_health/ok"], seen["vllm_num_running_sequences"]) == (1, 2)


def test_steps_from_inside_show_the_age_of_each_engine(servers: list[Vllm]) -> None:
    servers += [Vllm()]
    probe = collector(target(servers[0].address, "gpu1:8000"))
    list(probe.collect())  # the first look: what was before it is not judged
    now = probe.context.clock.monotonic() + 0.9
    engines = {"0": EngineStep(now, work=True), "1": EngineStep(now - 7, work=True)}
    probe.context.board.post(EngineSteps({"gpu1:8000": ServerSteps(now, engines), "other:1": ServerSteps(now, {})}))
    seen = shown(collected(probe))
    probe.close()
    assert seen["vllm_engine_progress_age_seconds/0"] == 0
    assert 0.5 < seen["vllm_engine_progress_age_seconds/1"] < 7  # since the first look


def test_failed_requests_are_an_event(servers: list[Vllm], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_exporter.subjects.server.failed_requests.GATHER_SECONDS", 0.1)
    servers += [Vllm()]
    count = b'http_requests_total{handler="/v1/completions",method="POST",status="5xx"} %d\n'
    servers[0].metrics = METRICS + count % 4
    probe = collector(target(servers[0].address, "gpu1:8000"))
    subscription = probe.context.bus.subscribe()
    list(probe.collect())
    servers[0].metrics = METRICS + count % 6

    def collected_events() -> list[Event]:
        list(probe.collect())
        return subscription.drain()

    events = wait_for(collected_events, pause=0.02)
    probe.close()
    assert [(one.kind, one.severity, one.server, one.summary) for one in events] == [
        ("failed_requests", "warning", "gpu1:8000", "gpu1:8000: 2 requests answered with 5xx")
    ]


def test_unknown_values_are_left_out() -> None:
    assert set(shown(render("gpu1:8000", NOTHING))) == {
        *(f"vllm_probe_health/{result}" for result in ("ok", "refused", "timeout", "503", "other")),
        *(f"vllm_canary_requests_total/{result}" for result in CANARY_RESULTS),
        "vllm_canary_prompt_tokens_total",
        "vllm_canary_generation_tokens_total",
        "vllm_probe_health_seconds",
        "vllm_server_ready",
        "vllm_server_metrics_readable",
    }


def test_everything_that_is_known_is_shown() -> None:
    seen = shown(render("gpu1:8000", EVERYTHING))
    assert {name.partition("/")[0] for name in seen} == {family.name for family in ProbeCollector.metrics}
    assert seen["vllm_canary_time_to_first_token_seconds"] == 0.05
    assert seen["vllm_canary_prompt_tokens_total"] == 84
    assert seen["vllm_canary_generation_tokens_total"] == 7
    assert seen["vllm_deep_probe_success/check_health"] == 1
    assert seen["vllm_deep_probe_seconds/check_health"] == 0.003
    assert seen["vllm_server_info/0.32.0/tiny"] == 1
    assert seen["vllm_server_model/lora"] == 1
    assert seen["vllm_server_load_requests"] == 5
    assert seen["vllm_engine_progress_age_seconds/1"] == 31
    assert seen["vllm_kv_blocks/0/total"] == 100
    assert seen["vllm_kv_blocks/0/used"] == 25
    assert seen["vllm_kv_blocks/0/free"] == 74
    assert seen["vllm_kv_blocks_allocated_total/0"] == 30
    assert seen["vllm_kv_blocks_released_total/0"] == 5
    assert seen["vllm_server_stalled"] == 1
    assert seen["vllm_server_progress_age_seconds"] == 31
    assert seen["vllm_server_stall_limit_seconds"] == 30
    assert seen["vllm_server_paused"] == 0
    assert seen["vllm_canary_success"] == 0
    assert seen["vllm_canary_consecutive_failures"] == 2
    assert seen["vllm_canary_requests_total/timeout"] == 2
    assert seen["vllm_kv_cache_utilization_percent"] == 25
    assert seen["vllm_num_swapped_sequences"] == 1
    assert seen["vllm_scheduler_iterations_total"] == 1234


def test_each_collection_posts_what_was_seen() -> None:
    probe = collector(target(f"127.0.0.1:{free_port()}", "gpu1:8000"))
    collected(probe)
    probe.close()
    sights = probe.context.board.latest(Sights)
    assert sights is not None
    assert sights.servers["gpu1:8000"].health == "refused"


def test_a_new_exporter_knows_since_when_a_server_is_ready(servers: list[Vllm], tmp_path: Path) -> None:
    servers.append(Vllm())
    clock = FakeClock()

    def ready_age() -> float:
        config = Config(targets=(target(servers[0].address, "gpu1:8000"),), state_dir=str(tmp_path))
        probe = ProbeCollector(Context(config, clock))
        seen = shown(collected(probe))
        probe.close()
        return seen["vllm_server_ready_age_seconds"]

    assert ready_age() == 0
    clock.advance(1000)
    assert ready_age() == 1000


def test_a_canary_that_does_not_apply_has_no_success_to_show() -> None:
    canary = CanaryState("not_applicable", 0.1, 0, {"ok": 0, "timeout": 0, "error": 0, "not_applicable": 3})
    seen = shown(render("gpu1:8000", replace(NOTHING, canary=canary)))
    assert seen["vllm_canary_requests_total/not_applicable"] == 3
    assert "vllm_canary_success" not in seen
    assert names.CANARY_SECONDS.name not in seen


def test_a_target_says_where_to_go() -> None:
    target = TargetConfig(
        "[::1]:8000", "gpu1:8000", "https", "/run/key", "/etc/ca.pem", monitor_token_file="/run/token"
    )
    assert origin(target) == Origin("::1", 8000, True, "/etc/ca.pem", "/run/key", "/run/token")


def process(pid: int, role: Role, server: str = "gpu1:8000", state: str = "S", cpu: float = 1.0) -> VllmProcess:
    return VllmProcess(Ref(pid, 1), role, "", server, 1, state, cpu_seconds=cpu)


def test_the_effort_of_a_server_is_that_of_its_engines_and_workers() -> None:
    mine = (process(1, "api_server", cpu=90.0), process(2, "engine_core"), process(3, "worker", cpu=2.0))
    trees = Trees({one.ref.pid: one for one in (*mine, process(4, "worker", "gpu1:8001", state="T", cpu=50.0))})
    gpus = Gpus(
        (
            GpuSight("0", "", "", utilization=0.9, pids={3: 0}),
            GpuSight("1", "", "", utilization=1.0, pids={4: 0}),
            GpuSight("2", "", "", utilization=None, pids={2: 0}),
        )
    )
    assert choose_effort("gpu1:8000", trees, gpus) == EngineEffort(3.0, gpu=0.9)
    assert choose_effort("gpu1:8001", trees, None) == EngineEffort(50.0, stopped=True)


def test_the_effort_of_a_server_on_another_host_is_not_known() -> None:
    assert choose_effort("gpu2:8000", Trees({1: process(1, "api_server", "gpu2:8000")}), None) is None
