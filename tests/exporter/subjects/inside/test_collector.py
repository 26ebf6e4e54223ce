"""The collector of the in-process part's snapshot files."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.fake_proc import FakeProc
from tests.exporter.fakes import FakeClock
from tests.exporter.subjects.inside.snapshot_writer import Line, SnapshotWriter
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import EngineStep, EngineSteps, RankSteps, ServerSteps, Steps, Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.metrics.gzip import join
from vllm_exporter.metrics.render import render
from vllm_exporter.metrics.series import SeriesCache
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.inside import collector
from vllm_exporter.subjects.inside.collector import InsideCollector

LINES = [
    Line("counter", "vllm_requests_total", (("status", "success"),)),
    Line("histogram", "vllm_request_latency_seconds", (), (0.5, 1.0)),
    Line("sum", "vllm_throughput_tokens_per_second"),
]


class World:
    """A directory of snapshots and a /proc, and exporters that look at them."""

    def __init__(self, root: Path) -> None:
        self.proc = FakeProc(root / "proc")
        namespace = self.proc.root / "self/ns/pid"
        namespace.parent.mkdir(parents=True)
        namespace.touch()
        self.namespace = namespace.stat().st_ino
        self.boot = "0" * 32
        (self.proc.root / "sys/kernel/random/boot_id").write_text("00000000-0000-0000-0000-000000000000\n")
        self.folder = root / "snapshots"
        self.folder.mkdir(mode=0o755)
        self.state = root / "state"
        self.clock = FakeClock()

    def exporter(self) -> InsideCollector:
        targets = (TargetConfig("localhost:8000", "gpu1:8000"), TargetConfig("203.0.113.9:8001", "203.0.113.9:8001"))
        context = Context(Config(targets=targets, state_dir=str(self.state)), self.clock, proc=self.proc.root)
        return InsideCollector(context, {"VLLM_MONITOR_DIR": str(self.folder)})

    def writer(self, pid: int, *values: float, lines: list[Line] = LINES, port: int = 8000, server: str = "",
               rank: str = "", namespace: int = 0, role: str = "") -> SnapshotWriter:  # fmt: skip
        """A living process that has counted."""
        self.proc.process(pid, 1, "VLLM::APIServer_0")
        made = SnapshotWriter(
            self.folder, pid=pid, start=10 * pid, boot=self.boot, namespace=namespace or self.namespace,
            port=port, server=server, rank=rank, role=role,
        )  # fmt: skip
        made.lines(lines)
        made.write(values, written=self.clock.monotonic())
        return made


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def page(collector: InsideCollector) -> str:
    return join(render([SeriesCache(collector.metrics).block(collector.collect())])).decode()


def show(collector: InsideCollector, *names: str) -> dict[str, float]:
    """Series and values whose name begins with one of these."""
    lines = [line.rpartition(" ") for line in page(collector).splitlines() if line.startswith(names)]
    return {series: float(value) for series, _, value in lines}


def test_adds_up_the_processes_of_a_server(world: World) -> None:
    world.writer(100, 3, 1, 2, 3, 9.5, 10)
    world.writer(101, 4, 1, 0, 0, 0.5, 20)
    assert show(world.exporter(), "vllm_re", "vllm_th", "vllm_inside_p") == {
        'vllm_requests_total{server="gpu1:8000",status="success"}': 7,
        'vllm_request_latency_seconds_bucket{server="gpu1:8000",le="0.5"}': 2,
        'vllm_request_latency_seconds_bucket{server="gpu1:8000",le="1.0"}': 4,
        'vllm_request_latency_seconds_bucket{server="gpu1:8000",le="+Inf"}': 7,
        'vllm_request_latency_seconds_sum{server="gpu1:8000"}': 10,
        'vllm_request_latency_seconds_count{server="gpu1:8000"}': 7,
        'vllm_throughput_tokens_per_second{server="gpu1:8000"}': 30,
        'vllm_inside_processes{server="gpu1:8000",role="api_server"}': 2,
    }


def test_prometheus_clients_parser_reads_the_histogram(world: World) -> None:
    world.writer(100, 3, 1, 2, 3, 9.5, 10)
    found = {one.name: one for one in text_string_to_metric_families(page(world.exporter()))}
    assert found["vllm_request_latency_seconds"].type == "histogram"
    assert [one.value for one in found["vllm_request_latency_seconds"].samples] == [1, 3, 6, 9.5, 6]


def test_no_sum_goes_backwards_when_a_process_ends(world: World) -> None:
    collector = world.exporter()
    first = world.writer(100, 3, 1, 2, 3, 9.5, 10)
    world.writer(101, 4, 1, 0, 0, 0.5, 20)
    show(collector)
    first.write([5, 1, 2, 3, 9.5, 10], written=world.clock.monotonic())
    world.proc.end(100)
    requests = 'vllm_requests_total{server="gpu1:8000",status="success"}'
    for _ in range(3):
        after = show(collector, "vllm_r", "vllm_t")
        assert after[requests] == 9
        assert after['vllm_request_latency_seconds_count{server="gpu1:8000"}'] == 7
        assert after['vllm_throughput_tokens_per_second{server="gpu1:8000"}'] == 20
    first.path.unlink()
    world.clock.advance(10)
    assert show(collector, "vllm_requests")[requests] == 9


def test_a_restart_of_the_exporter_takes_nothing_from_the_sums(world: World) -> None:
    gone = world.writer(100, 3, 1, 2, 3, 9.5, 10)
    world.writer(101, 4, 1, 0, 0, 0.5, 20)
    show(world.exporter())
    world.proc.end(100)
    requests = 'vllm_requests_total{server="gpu1:8000",status="success"}'
    assert show(world.exporter(), "vllm_requests")[requests] == 7
    assert show(world.exporter(), "vllm_requests")[requests] == 7, "counted twice"
    gone.path.unlink()
    assert show(world.exporter(), "vllm_requests")[requests] == 7


def test_a_new_process_with_the_same_id_is_another_one(world: World) -> None:
    collector = world.exporter()
    world.writer(100, 3, 0, 0, 0, 0, 0)
    show(collector)
    world.proc.process(100, 1, "VLLM::APIServer_0", start=5000)
    assert show(collector, "vllm_requests_total", "vllm_inside_p") == {
        'vllm_requests_total{server="gpu1:8000",status="success"}': 3
    }


def test_a_file_that_is_being_written_keeps_its_last_values(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    collector = world.exporter()
    writer = world.writer(100, 3, 0, 0, 0, 0, 0)
    show(collector)
    writer.begin()
    assert show(collector, "vllm_requests_total") == {'vllm_requests_total{server="gpu1:8000",status="success"}': 3}
    assert capsys.readouterr().err == ""
    show(collector)
    assert show(collector, 'vllm_inside_snapshot_errors_total{reason="torn"}') == {
        'vllm_inside_snapshot_errors_total{reason="torn"}': 3
    }
    assert "100-1000.snap" in capsys.readouterr().err


def test_names_a_file_that_cannot_be_used_once_and_reads_the_others(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.writer(100, 3, 0, 0, 0, 0, 0)
    (world.folder / "hostile.snap").write_bytes(b"\xff" * 4096)
    collector = world.exporter()
    for _ in range(3):
        assert len(show(collector, "vllm_requests_total")) == 1
    assert capsys.readouterr().err.count("hostile.snap") == 1
    assert show(collector, 'vllm_inside_snapshot_errors_total{reason="magic"}') == {
        'vllm_inside_snapshot_errors_total{reason="magic"}': 4
    }


def test_the_server_is_that_of_the_process_tree_then_what_the_process_says_then_its_port(world: World) -> None:
    world.writer(100, 1, 0, 0, 0, 0, 0)
    world.writer(101, 1, 0, 0, 0, 0, 0, server="named")
    world.writer(102, 1, 0, 0, 0, 0, 0, server="named")
    world.writer(103, 1, 0, 0, 0, 0, 0, port=8001)  # a target of that port is on another host
    collector = world.exporter()
    process = VllmProcess(Ref(102, 1020), "api_server", "0", "by tree", 1, "S")
    collector.context.board.post(Trees({102: process}))
    assert show(collector, "vllm_inside_processes") == {
        'vllm_inside_processes{server="gpu1:8000",role="api_server"}': 1,
        'vllm_inside_processes{server="named",role="api_server"}': 1,
        'vllm_inside_processes{server="by tree",role="api_server"}': 1,
        'vllm_inside_processes{server="",role="api_server"}': 1,
    }


def test_says_how_long_the_most_silent_process_has_been_silent(world: World) -> None:
    world.writer(100, 1, 0, 0, 0, 0, 0)
    world.clock.advance(40)
    world.writer(101, 1, 0, 0, 0, 0, 0)
    age = 'vllm_inside_snapshot_age_seconds{server="gpu1:8000",role="api_server"}'
    assert show(world.exporter(), "vllm_inside_snapshot_age") == {age: 40}


def test_a_process_of_another_container_ends_with_its_silence(world: World) -> None:
    collector = world.exporter()
    world.writer(100, 3, 0, 0, 0, 0, 10, namespace=1)
    assert len(show(collector, "vllm_throughput")) == 1
    world.clock.advance(61)
    assert show(collector, "vllm_throughput", "vllm_requests_total") == {
        'vllm_requests_total{server="gpu1:8000",status="success"}': 3
    }


def test_a_process_that_was_silent_for_long_and_speaks_again_counts_once(world: World) -> None:
    collector = world.exporter()
    paused = world.writer(100, 3, 0, 0, 0, 0, 10, namespace=1)
    requests = 'vllm_requests_total{server="gpu1:8000",status="success"}'
    assert show(collector, "vllm_requests")[requests] == 3
    world.clock.advance(61)
    assert show(collector, "vllm_requests")[requests] == 3
    for count in (4, 5):
        paused.write([count, 0, 0, 0, 0, 10], written=world.clock.monotonic())
        assert show(collector, "vllm_requests")[requests] == count
    world.clock.advance(61)
    assert show(collector, "vllm_requests")[requests] == 5
    paused.write([6, 0, 0, 0, 0, 10], written=world.clock.monotonic())
    assert show(world.exporter(), "vllm_requests")[requests] == 5, "how much of it is known is not known"


def test_tells_others_of_the_steps_of_each_rank(world: World) -> None:
    steps = [Line("counter", f"vllm_rank_{name}_total") for name in ("steps", "step_seconds", "sync_seconds")]
    world.writer(100, 50, 2.5, 0.5, lines=steps, rank="TP1")
    world.writer(101, 1, 0, 0, 0, 0, 0)
    collector = world.exporter()
    assert show(collector, "vllm_inside_series_ignored") == {"vllm_inside_series_ignored": 0}
    posted = collector.context.board.latest(Steps)
    assert posted == Steps((RankSteps("gpu1:8000", "TP1", 100, 50, 2.5, None, 0.5),))


ENGINE = [
    Line("last", "vllm_engine_step_age_seconds", (("engine", "0"),)),
    Line("last", "vllm_engine_busy_step_age_seconds", (("engine", "0"),)),
    Line("max", "vllm_event_loop_lag_seconds"),
]


def test_tells_others_of_the_last_step_of_each_engine(world: World) -> None:
    now = world.clock.monotonic()
    world.writer(100, now - 3, now - 3, 0.5, lines=ENGINE)
    world.writer(101, now - 1, now - 2, 0.0, lines=ENGINE)
    world.writer(102, now - 1, now - 1, 0.0, lines=ENGINE, port=8001, server="b:8001")
    world.writer(103, now - 1, now - 1, 0.0, lines=ENGINE, port=9999)  # of no server that is known
    collector = world.exporter()
    assert show(collector, "vllm_inside_series_ignored", "vllm_engine_busy") == {"vllm_inside_series_ignored": 0}
    assert collector.context.board.latest(EngineSteps) == EngineSteps(
        {
            "gpu1:8000": ServerSteps(now - 0.5, {"0": EngineStep(now - 1, work=False)}),
            "b:8001": ServerSteps(now, {"0": EngineStep(now - 1, work=True)}),
        }
    )


def test_counts_series_that_it_does_not_know(world: World) -> None:
    world.writer(100, 1, lines=[Line("counter", "vllm_something_new_total")])
    assert show(world.exporter(), "vllm_inside_series_ignored") == {"vllm_inside_series_ignored": 1}


def test_without_the_directory_there_is_no_data(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "DEFAULT", str(tmp_path / "absent"))
    context = Context(Config(), world.clock, proc=world.proc.root)
    with pytest.raises(NoData, match=r"absent does not exist: no process has written into it yet"):
        list(InsideCollector(context, {}).collect())


@pytest.mark.parametrize(
    "sums",
    [
        "1",
        '["vllm_requests_total", ["gpu1:8001", "success"], "counter", [], [NaN]]',
        '["vllm_requests_total", ["gpu1:8001", "success"], "counter", [], [-1]]',
        '["vllm_requests_total", ["gpu1:8001", "success"], "counter", [], [1%s]]' % ("0" * 400),
    ],
)
def test_a_damaged_state_file_stops_nothing(world: World, capsys: pytest.CaptureFixture[str], sums: str) -> None:
    world.state.mkdir()
    (world.state / "inside.json").write_text(f'{{"version": 1, "sums": [{sums}], "folded": []}}')
    world.writer(100, 3, 0, 0, 0, 0, 0)
    assert len(show(world.exporter(), "vllm_requests_total")) == 1
    assert "is lost" in capsys.readouterr().err


def test_engines_and_workers_are_told_apart_from_api_servers(world: World) -> None:
    world.writer(100, 3, 1, 2, 3, 9.5, 10)
    engine = world.writer(101, lines=[], role="engine_core")
    freed = Line("counter", "vllm_memory_lever_freed_bytes_total",
                 (("role", "worker"), ("rank", "DP0_TP1"), ("memory", "device")))  # fmt: skip
    world.writer(102, 4096, lines=[freed], role="worker")
    world.writer(103, lines=[], role="of a later release")
    collector = world.exporter()
    show(collector)
    world.clock.advance(40)
    for one in (world.writer(100, 3, 1, 2, 3, 9.5, 10), world.writer(102, 4096, lines=[freed], role="worker")):
        assert one.path.exists()
    assert engine.path.exists()
    assert show(collector, "vllm_inside_p", "vllm_inside_snapshot_a", "vllm_memory") == {
        'vllm_inside_processes{server="gpu1:8000",role="api_server"}': 1,
        'vllm_inside_processes{server="gpu1:8000",role="engine_core"}': 1,
        'vllm_inside_processes{server="gpu1:8000",role="worker"}': 1,
        'vllm_inside_processes{server="gpu1:8000",role="other"}': 1,
        'vllm_inside_snapshot_age_seconds{server="gpu1:8000",role="api_server"}': 0,
        'vllm_inside_snapshot_age_seconds{server="gpu1:8000",role="engine_core"}': 40,
        'vllm_inside_snapshot_age_seconds{server="gpu1:8000",role="worker"}': 0,
        'vllm_inside_snapshot_age_seconds{server="gpu1:8000",role="other"}': 40,
        'vllm_memory_lever_freed_bytes_total{server="gpu1:8000",role="worker",rank="DP0_TP1",memory="device"}': 4096,
    }


FAILED = '{"time":1800000000.5,"kind":"failed_request","id":"cmpl-1","type":"timeout","status":504,"port":8000}\n'


def test_a_failed_request_is_an_event_of_its_server_once(world: World) -> None:
    collector = world.exporter()
    show(collector)
    world.writer(100, 3, 1, 2, 3, 9.5, 10, server="named:8000", port=0)
    with open(world.folder / f"100-1000-{world.namespace}-1.lines", "w") as file:
        file.write(FAILED)
    for _ in range(3):
        show(collector)
    show(world.exporter())
    subscribed = collector.context.bus.subscribe()
    assert [(one.kind, one.server, one.time) for one in subscribed.drain()] == [
        ("failed_request", "named:8000", 1_800_000_000.5)
    ]


def test_a_failed_request_of_a_process_without_a_file_belongs_to_its_port(world: World) -> None:
    collector = world.exporter()
    show(collector)
    with open(world.folder / "100-1000-7-1.lines", "w") as file:
        file.write(FAILED)
    show(collector)
    assert [one.server for one in collector.context.bus.subscribe().drain()] == ["gpu1:8000"]


def test_a_line_that_is_broken_is_counted_and_the_next_one_read(world: World) -> None:
    collector = world.exporter()
    show(collector)
    with open(world.folder / "100-1000-7-1.lines", "w") as file:
        file.write("{broken\n" + FAILED)
    errors = 'vllm_inside_snapshot_errors_total{reason="line"}'
    assert show(collector, errors) == {errors: 1}
    assert len(collector.context.bus.subscribe().drain()) == 1
