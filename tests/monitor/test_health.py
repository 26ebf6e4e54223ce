"""The health of an engine: from the plug-in's last step, from the engine itself, or said to be unknown."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

import vllm_monitor
from tests.monitor import eras
from tests.patience import wait_for
from vllm_monitor import asked_for, health, health_log, process
from vllm_monitor.health import HealthStats, answer_health, get_health_stats, parse_meminfo, parse_statm
from vllm_monitor.health_http import HealthApp, health_router
from vllm_monitor.nvidia import GpuReading
from vllm_monitor.series import Series
from vllm_monitor.stats import StepCounter

FIELDS = {
    "timestamp", "num_running_requests", "num_waiting_requests", "num_swapped_requests", "gpu_cache_usage_percent",
    "cpu_cache_usage_percent", "system_ram_used_mb", "process_ram_mb", "gpu_stats", "active_threads", "pending_tasks",
    "source",
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a plug-in, and without a GPU."""
    monkeypatch.setattr(process, "_this", None)
    monkeypatch.setattr(health, "read_gpu", lambda index: None)


def asked(manager: Any = None) -> HealthStats:
    return asyncio.run(get_health_stats(manager))


class Engine:
    def get_num_unfinished_requests(self) -> int:
        return 5


def test_the_plug_ins_last_step_counts_of_all_engines_together(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = StepCounter(Series())
    for engine in (0, 1):
        counter.count(1.0, eras.scheduler("0.32.0"), None, engine)
    monkeypatch.setattr(health, "known_loads", lambda: counter.loads)
    stats = asked(Engine())
    assert (stats.num_running_requests, stats.num_waiting_requests, stats.source) == (6, 4, "plug-in")
    assert stats.gpu_cache_usage_percent == 50.0
    assert (stats.num_swapped_requests, stats.cpu_cache_usage_percent) == (0, 0.0)


@pytest.mark.parametrize("era", eras.ERAS)
def test_each_release_says_how_loaded_it_is(era: str) -> None:
    counter = StepCounter(Series())
    counter.count(1.0, eras.scheduler(era), None, 0)
    assert (counter.loads["0"].running, counter.loads["0"].waiting, counter.loads["0"].cache) == (3, 2, 0.5)


@pytest.mark.parametrize(
    "manager",
    [
        Engine(),
        SimpleNamespace(llm_engine=Engine()),
        SimpleNamespace(output_processor=Engine()),
        SimpleNamespace(model=SimpleNamespace(llm=SimpleNamespace(llm_engine=Engine()))),
    ],
)
def test_an_engine_is_found_in_what_holds_it(manager: Any) -> None:
    stats = asked(manager)
    assert (stats.num_running_requests, stats.source) == (5, "engine")


def failing() -> int:
    raise RuntimeError("the engine is dead")


@pytest.mark.parametrize(
    "manager",
    [None, 3, "llm", MagicMock(), SimpleNamespace(engine=None), SimpleNamespace(get_num_unfinished_requests=failing)],
)
def test_what_holds_no_engine_is_said_to_be_unknown(manager: Any) -> None:
    stats = asked(manager)
    assert (stats.num_running_requests, stats.source) == (0, "none")
    assert "(no engine is known)" in stats.summary()


def test_the_process_and_its_host_are_always_known() -> None:
    stats = asked()
    assert stats.process_ram_mb > 5
    assert stats.system_ram_used_mb > stats.process_ram_mb / 2
    assert stats.active_threads >= 1
    assert stats.pending_tasks >= 1
    assert time.time() - stats.timestamp < 60


def test_memory_is_read_as_the_kernel_says_it() -> None:
    assert parse_meminfo("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   400 kB\n") == 600 * 1024
    assert parse_statm("9999 250 100 1 0 2 0") == 250 * 4096


@pytest.mark.parametrize("text", ["", "MemTotal: many kB", "MemTotal: 5 kB", "x"])
def test_memory_that_the_kernel_does_not_say_is_nothing(text: str, tmp_path: Any) -> None:
    (tmp_path / "meminfo").write_text(text)
    assert health.memory_used(str(tmp_path / "meminfo"), parse_meminfo) == 0.0
    assert health.memory_used(str(tmp_path / "absent"), parse_meminfo) == 0.0


def test_each_gpu_has_its_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [GpuReading(40.0, 30 * 2**30, 40 * 2**30), GpuReading(0.0, 0.0, 0.0)]
    monkeypatch.setattr(health, "read_gpu", lambda index: readings[index] if index < 2 else None)
    first, second = asked().gpu_stats
    assert (first["gpu_id"], first["memory_percent"], first["memory_used_mb"]) == (0, 75.0, 30720.0)
    assert second["memory_percent"] == 0.0
    assert "GPU 0: 30720 of 40960 MB (75.0%), 40% busy" in asked().summary()


def test_the_summary_begins_with_the_local_time() -> None:
    stats = HealthStats(timestamp=time.mktime((2026, 11, 30, 14, 5, 9, 0, 0, -1)))
    assert stats.summary().splitlines()[0] == "=== vLLM Health Stats @ 14:05:09 ==="


def test_a_request_for_health_is_answered_and_no_other() -> None:
    answer = asyncio.run(answer_health({"action": "health", "more": 1}))
    assert answer is not None
    assert answer["stats"].keys() == FIELDS
    assert answer["summary"].startswith("=== vLLM Health Stats @ ")
    assert asyncio.run(answer_health({"action": "generate"})) is None
    assert asyncio.run(answer_health({})) is None


def over_http(method: str, path: str, body: bytes = b"", kind: str = "http") -> tuple[int, Any]:
    """Status and body of the answer of the application."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(HealthApp()({"type": kind, "method": method, "path": path}, receive, send))
    return (sent[0]["status"], json.loads(sent[1]["body"])) if sent else (0, None)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/vllm/health", b"", 200),
        ("GET", "/health/", b"", 200),
        ("POST", "/anywhere", b'{"action": "health"}', 200),
        ("GET", "/other", b"", 404),
        ("POST", "/health", b'{"action": "stop"}', 400),
        ("POST", "/health", b"[" * 4000, 400),
        ("POST", "/health", b'"health"', 400),
        ("POST", "/health", b'{"action": "health", "x": "' + b"x" * 5000 + b'"}', 400),
    ],
)
def test_the_application_answers_where_it_is_mounted(method: str, path: str, body: bytes, status: int) -> None:
    found, answer = over_http(method, path, body)
    assert found == status
    assert answer.keys() == ({"stats", "summary"} if status == 200 else {"error"})


def test_other_kinds_of_connection_get_no_answer() -> None:
    assert over_http("", "", kind="lifespan") == (0, None)


def test_a_program_with_fastapi_gets_its_router(monkeypatch: pytest.MonkeyPatch) -> None:
    class Router:
        def __init__(self) -> None:
            self.routes: dict[tuple[str, str], Any] = {}

        def add_api_route(self, path: str, endpoint: Any, methods: list[str], response_model: Any) -> None:
            self.routes[methods[0], path] = endpoint

    fastapi = ModuleType("fastapi")
    fastapi.APIRouter = Router  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastapi", fastapi)
    router = health_router(Engine())
    got = asyncio.run(router.routes["GET", "/health"]())
    assert got["stats"]["num_running_requests"] == 5
    assert asyncio.run(router.routes["POST", "/health"]({"action": "health"})).keys() == {"stats", "summary"}
    assert asyncio.run(router.routes["POST", "/health"]({})).keys() == {"error"}


@pytest.mark.parametrize("name", vllm_monitor.__all__)
def test_each_name_of_the_library_stays_what_it_is(name: str) -> None:
    """A module of the same name would take its place."""
    first = getattr(vllm_monitor, name)
    assert getattr(vllm_monitor, name) is first
    assert not isinstance(first, ModuleType)


def test_a_program_without_fastapi_gets_an_application() -> None:
    assert isinstance(health_router(), HealthApp)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "vllm_monitor.health"):
        yield caplog
    health_log.stop_background_logging()
    wait_for(lambda: not threads())


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "vllm-health"]


def test_the_log_has_a_summary_each_interval_until_it_is_stopped(logged: pytest.LogCaptureFixture) -> None:
    vllm_monitor.start_background_logging(interval=0.1)
    wait_for(lambda: logged.text.count("=== vLLM Health Stats @ ") >= 2)
    vllm_monitor.stop_background_logging()
    vllm_monitor.stop_background_logging()
    wait_for(lambda: not threads())


def test_a_second_start_takes_the_place_of_the_first(logged: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        vllm_monitor.start_background_logging(interval=60)
    wait_for(lambda: len(threads()) == 1)


@pytest.mark.parametrize("interval", [0, -1.0, float("nan")])
def test_an_interval_that_is_none_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="and must be"):
        vllm_monitor.start_background_logging(interval)


@pytest.mark.parametrize("environment", [{}, {"ENABLE_VLLM_MONITOR": "0"}, {"VLLM_MONITOR_INTERVAL": "1"}])
def test_nobody_who_did_not_ask_gets_the_log(environment: dict[str, str], logged: pytest.LogCaptureFixture) -> None:
    asked_for.health_log(environment)
    assert threads() == []


@pytest.mark.parametrize("interval", ["", "7.5", "often", "-1"])
def test_who_asks_gets_it_once_whatever_the_interval(interval: str, logged: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        asked_for.health_log({"ENABLE_VLLM_MONITOR": "1", "VLLM_MONITOR_INTERVAL": interval})
    assert len(threads()) == 1
    assert ("is no number of seconds, 30 are taken" in logged.text) is (interval in ("often", "-1"))
