"""The logs collector: from files to counters and events."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from tests.exporter.subjects.logs.recorded import LOGS
from vllm_exporter.config.config import CollectorConfig, Config, TargetConfig, load
from vllm_exporter.config.yaml_lines import Value
from vllm_exporter.errors import ConfigError, NoData
from vllm_exporter.facts.events import LineNoticed, Subscription
from vllm_exporter.facts.facts import Sights
from vllm_exporter.metrics.gzip import join
from vllm_exporter.metrics.render import render
from vllm_exporter.metrics.series import SeriesCache
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.logs.collector import LogsCollector, parse_places
from vllm_exporter.subjects.logs.places import LogPlace

TARGETS = (TargetConfig("localhost:8000", "host:8000"), TargetConfig("localhost:8001", "host:8001"))
NOW = time.mktime((2026, 11, 21, 15, 2, 40, 0, 0, -1))  # a second after the worker of worker_killed.log died
SERVER = "gpu1:8000"


class World:
    """A log, a clock, and the collector that reads the one by the other."""

    def __init__(self, path: Path) -> None:
        self.path = path / "vllm.log"
        self.clock = FakeClock(wall=NOW)
        self.state = path / "state"
        self.collector = self.make()

    def make(self, *sources: str) -> LogsCollector:
        listed = [Value(text, "exporter.yml line 1") for text in sources or (f"{SERVER}={self.path}",)]
        options = {"sources": Value(listed, "exporter.yml line 1")}
        config = Config(
            targets=(TargetConfig(SERVER, SERVER), TargetConfig("a:1", "a:1")),
            collectors={"logs": CollectorConfig(options=options)},
            state_dir=str(self.state),
        )
        self.context = Context(config, self.clock)
        self.subscription = self.context.bus.subscribe()
        return LogsCollector(self.context)

    def write(self, text: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(text)

    def collect(self) -> dict[tuple[str, ...], float]:
        found = samples(self.collector.collect())
        return {(sample.family.name.removeprefix("vllm_log_"), *sample.values): sample.value for sample in found}

    def pass_seconds(self, seconds: float) -> None:
        self.clock.advance(seconds)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.path.write_bytes(b"")
    made.collect()
    return made


def told(subscription: Subscription) -> list[tuple[object, ...]]:
    return [(one.severity, one.class_, one.state) for one in noticed(subscription)]


def noticed(subscription: Subscription) -> list[LineNoticed]:
    return [one for one in subscription.drain() if isinstance(one, LineNoticed)]


def only(events: list[LineNoticed], name: str) -> LineNoticed:
    (event,) = (one for one in events if one.class_ == name)
    return event


def test_counts_classes_of_a_log_and_says_when_each_was_last_seen(world: World) -> None:
    world.write((LOGS / "worker_killed.log").read_bytes())
    shown = world.collect()
    assert shown["events_total", SERVER, "worker.died", "critical"] == 1
    assert shown["event_last_timestamp_seconds", SERVER, "worker.died"] == NOW - 1
    assert shown["events_total", SERVER, "engine.dead_client", "info"] == 1
    assert shown["events_total", SERVER, "engine.dead_client", "critical"] == 0
    assert shown["lines_total", SERVER, str(world.path)] == 126


def test_shows_0_for_a_serious_class_and_nothing_for_another_before_its_first_line(world: World) -> None:
    shown = world.collect()
    assert shown["events_total", SERVER, "cuda.illegal", "critical"] == 0
    assert shown["events_total", SERVER, "load.disk", "error"] == 0
    assert ("events_total", SERVER, "stats.line", "info") not in shown
    assert ("event_last_timestamp_seconds", SERVER, "cuda.illegal") not in shown
    assert ("last_line_timestamp_seconds", SERVER, str(world.path)) not in shown


def test_a_healthy_run_makes_events_of_its_steps_only(world: World) -> None:
    world.write((LOGS / "healthy.log").read_bytes())
    world.collect()
    events = told(world.subscription)
    assert {severity for severity, _, _ in events} == {"info"}
    assert all(state for _, _, state in events)
    assert len(events) == 17  # a step is told once for each process that takes it


def test_an_event_says_which_process_and_what_with_nothing_of_users_in_it(world: World) -> None:
    world.write((LOGS / "worker_stopped.log").read_bytes())
    world.collect()
    event = only(noticed(world.subscription), "executor.rpc_timeout")
    assert (event.kind, event.severity, event.server) == ("log", "critical", SERVER)
    assert event.summary == "executor.rpc_timeout: RPC call to execute_model timed out."
    assert event.own_fields() == {
        "class": "executor.rpc_timeout",
        "excerpt": "RPC call to execute_model timed out.",
        "process": "EngineCore",
        "role": "engine_core",
        "rank": "",
        "pid": 708,
        "wrapper": False,
        "exception": "TimeoutError",
        "frame": "multiproc_executor.py:get_response",
    }


def test_an_exception_that_ends_a_start_is_an_event_with_its_message_and_its_rank(world: World) -> None:
    assert world.collect()["events_total", SERVER, "other.exception", "error"] == 0
    for line in (
        b"Traceback (most recent call last):",
        b'  File "/a.py", line 1, in f',
        b"FooError: no class knows 'it'",
    ):
        world.write(b"vllm-1  | [rank3]: " + line + b"\n")
    assert world.collect()["events_total", SERVER, "other.exception", "error"] == 1
    event = only(noticed(world.subscription), "other.exception")
    assert (event.severity, event.rank, event.exception, event.frame) == ("error", "3", "FooError", "a.py:f")
    assert event.summary == "other.exception: FooError: no class knows '…'"


def test_a_flood_of_one_class_is_one_event_a_minute(world: World) -> None:
    line = b"(EngineCore pid=1) ERROR 11-21 15:02:39 [x.py:1] Failed to advance FSM for request r for tokens [1]\n"
    world.write(line * 500)
    assert world.collect()["events_total", SERVER, "so.fsm", "error"] == 500
    world.pass_seconds(60)
    world.write(line)
    world.collect()
    assert [event.untold for event in noticed(world.subscription)] == [0, 499]


def test_an_event_has_the_model_that_the_probe_knows(world: World) -> None:
    class Sight:
        model_name = "llama"

    world.context.board.post(Sights({SERVER: Sight()}))  # type: ignore[dict-item] # the name is all that is read
    world.write(b"EngineCore encountered a fatal error.\n")
    world.collect()
    assert [event.model_name for event in world.subscription.drain()] == ["llama"]


def test_goes_on_after_a_restart_without_counting_twice(world: World) -> None:
    world.write(b"EngineCore encountered a fatal error.\n")
    world.collect()
    world.collector.close()
    world.write(b"OSError: [Errno 24] Too many open files\n")
    world.collector = world.make()
    shown = world.collect()
    assert shown["events_total", SERVER, "engine.fatal", "critical"] == 0
    assert shown["events_total", SERVER, "fd.limit", "error"] == 1


def test_keeps_its_positions_while_it_runs(world: World) -> None:
    world.write(b"x\n")
    offsets = []
    for seconds in (9, 1):
        world.pass_seconds(seconds)
        world.collect()
        kept = json.loads((world.state / "logs.json").read_text())
        offsets.append(kept["positions"][f"{SERVER} {world.path}"]["offset"])
    assert offsets == [0, 2]


def test_a_broken_file_of_positions_does_no_harm(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    (world.state / "logs.json").write_text("{")
    world.collector = world.make()
    assert world.collect()["readable", SERVER, str(world.path)] == 1
    assert "the place in each log is lost" in capfd.readouterr().err


def test_whether_a_log_can_be_read_is_printed_as_a_number(world: World) -> None:
    page = join(render([SeriesCache(LogsCollector.metrics).block(world.collector.collect())])).decode()
    assert f'vllm_log_readable{{server="{SERVER}",source="{world.path}"}} 1\n' in page


def test_a_log_that_is_not_there_is_said_once_and_the_others_go_on(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone.log"
    world.collector = world.make(f"a:1={gone}", f"{SERVER}={world.path}")
    world.collect()
    shown = world.collect()
    assert shown["readable", "a:1", str(gone)] == 0
    assert shown["readable", SERVER, str(world.path)] == 1
    assert capfd.readouterr().err.count("log cannot be read") == 1
    gone.write_bytes(b"INFO:     Application startup complete.\n")
    assert world.collect()["readable", "a:1", str(gone)] == 1
    assert "log can be read again" in capfd.readouterr().err


def test_two_logs_of_a_server_share_what_is_known_of_it(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    other.write_bytes(b"")
    world.collector = world.make(f"{SERVER}={world.path}", f"{SERVER}={other}")
    world.collect()
    world.write(b"(APIServer pid=1) INFO 11-21 15:02:39 [x.py:1] [shutdown] API server: shutdown triggered\n")
    other.write_bytes(b"Executor failed.\n")
    assert world.collect()["events_total", SERVER, "planned.shutdown", "info"] == 1


def test_lines_written_before_the_exporter_came_have_the_time_they_bear(world: World) -> None:
    world.collector.close()
    world.write(b"(EngineCore pid=1) ERROR 11-21 13:02:40 [x.py:1] EngineCore encountered a fatal error.\n")
    world.collector = world.make()
    assert world.collect()["event_last_timestamp_seconds", SERVER, "engine.fatal"] == NOW - 7200


def test_lines_of_a_server_in_another_time_zone_have_the_time_at_which_they_came(world: World) -> None:
    world.write(b"(EngineCore pid=1) ERROR 11-21 13:02:40 [x.py:1] EngineCore encountered a fatal error.\n")
    assert world.collect()["event_last_timestamp_seconds", SERVER, "engine.fatal"] == NOW


def test_in_a_burst_too_a_line_from_another_time_zone_has_the_time_at_which_it_came(world: World) -> None:
    fatal = b"(EngineCore pid=1) ERROR 11-21 13:02:40 [x.py:1] EngineCore encountered a fatal error.\n"
    world.write(fatal + b"INFO:     a line of fifty bytes that nobody looks for\n" * 20_000)
    shown = world.collect()
    assert shown["event_last_timestamp_seconds", SERVER, "engine.fatal"] == NOW
    assert shown["lines_total", SERVER, str(world.path)] == 20_001


def test_without_a_log_there_is_nothing_to_say() -> None:
    with pytest.raises(NoData, match="no log is configured"):
        list(LogsCollector(Context(Config(), FakeClock())).collect())


def test_a_server_is_named_as_in_labels() -> None:
    sources = ("localhost:8000=/a.log", "host:8000=/b.log", "127.0.0.1:8001=/c.log", "=journald:kernel")
    assert parse_places(sources, Config(targets=TARGETS)) == (
        LogPlace("host:8000", "file", "/a.log"),
        LogPlace("host:8000", "file", "/b.log"),
        LogPlace("host:8001", "file", "/c.log"),
        LogPlace("", "journald", "kernel"),
    )


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        (("/a.log",), r"collectors\.logs\.sources: '/a\.log' is no source of a log; write SERVER=WHERE"),
        (
            ("host:9000=/a.log",),
            r"collectors\.logs\.sources: 'host:9000=/a\.log': no target 'host:9000'; "
            r"known: localhost:8000, localhost:8001; correct it, or add it to targets$",
        ),
        (("host=/a.log",), "no target 'host'; known: localhost:8000, localhost:8001"),
        (("host:8000=/a.log", "localhost:8000=/a.log"), "sources: /a.log of 'host:8000' is there twice; keep one"),
    ],
)
def test_says_which_entry_is_wrong(sources: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_places(sources, Config(targets=TARGETS))


def test_a_log_of_a_server_that_is_no_target_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("targets: [a:1]\ncollectors:\n  logs:\n    sources:\n      - a:1=/a.log\n      - b:1=/b.log\n")
    config = load(file, {}, {})
    with pytest.raises(ConfigError, match=r"exporter\.yml line 6: collectors\.logs\.sources: 'b:1=/b\.log': no target"):
        LogsCollector.check(config, "logs")


def test_no_sources_are_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors:\n  logs:\n    sources:\n")
    LogsCollector.check(load(file, {}, {}), "logs")
