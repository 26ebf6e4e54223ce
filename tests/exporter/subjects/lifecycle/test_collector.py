"""The lifecycle collector between the board, the bus and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exporter import told
from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from vllm_exporter.config.config import CollectorConfig, Config, TargetConfig
from vllm_exporter.config.yaml_lines import Value
from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import Event
from vllm_exporter.facts.facts import Gpus, GpuSight, Lifecycles, ServerSight, Sights, Trees, VllmProcess
from vllm_exporter.facts.values import EngineValues, Ref, Role
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.lifecycle.collector import LifecycleCollector, choose_processes

FIRST, SECOND = "gpu1:8000", "gpu1:8001"
TARGETS = (TargetConfig("localhost:8000", FIRST), TargetConfig("localhost:8001", SECOND))
DOWN = ServerSight("refused")
IDLE = ServerSight(
    "ok",
    ready_age=100.0,
    progress_age=0.0,
    work=False,
    stalled=False,
    sleeping=False,
    canary_ok=True,
    values=EngineValues(0, 0),
    model_name="tiny",
)
BOOTED = 900.0  # monotonic seconds at which the fake host booted


def process(pid: int, role: Role, server: str = FIRST, rank: str = "", orphan: bool = False) -> VllmProcess:
    return VllmProcess(Ref(pid, pid * 10), role, rank, server, 1, "S", orphan)


def trees(*processes: VllmProcess) -> Trees:
    return Trees({one.ref.pid: one for one in processes})


WHOLE = (process(100, "api_server"), process(110, "engine_core"), process(120, "worker"))


class Host:
    """Posts what the other collectors would, and looks."""

    def __init__(self, tmp: Path, clock: FakeClock, targets: tuple[TargetConfig, ...] = TARGETS[:1]) -> None:
        self.clock = clock
        self.proc = tmp
        (tmp / "uptime").write_text(f"{clock.monotonic() - BOOTED:.2f} 1.0\n")
        self.config = Config(targets=targets, state_dir=str(tmp / "state"))
        self.start()

    def start(self) -> None:
        """A new exporter."""
        self.context = Context(self.config, self.clock, proc=self.proc)
        self.collector = LifecycleCollector(self.context)
        self.subscription = self.context.bus.subscribe()

    def look(self, sights: Mapping[str, ServerSight] | None, *processes: VllmProcess) -> dict[str, float]:
        """{family/label values behind the server: value} of what is not 0, of the first server."""
        self.clock.advance(1)
        (self.proc / "uptime").write_text(f"{self.clock.monotonic() - BOOTED:.2f} 1.0\n")
        if sights is not None:
            self.context.board.post(Sights(sights))
        self.context.board.post(trees(*processes))
        return shown(self.collector)

    def state(self, server: str = FIRST) -> str:
        posted = self.context.board.latest(Lifecycles)
        return posted.states[server][0] if posted is not None and server in posted.states else ""

    def events(self) -> list[Event]:
        return [event for event in self.subscription.drain() if event.kind == "lifecycle"]


def shown(collector: LifecycleCollector, server: str = FIRST) -> dict[str, float]:
    found = [sample for sample in samples(collector.collect()) if sample.values[0] == server]
    return {"/".join((one.family.name.removeprefix("vllm_lifecycle_"), *one.values[1:])): one.value for one in found}


@pytest.fixture
def host(tmp_path: Path, clock: FakeClock) -> Host:
    return Host(tmp_path, clock)


def test_without_targets_there_is_no_data(clock: FakeClock) -> None:
    with pytest.raises(NoData, match="set VLLM_TARGETS"):
        list(LifecycleCollector(Context(Config(), clock)).collect())


def test_waits_for_the_first_probe_and_then_goes_by_what_there_is(host: Host) -> None:
    with pytest.raises(NoData, match="no server was probed yet"):
        host.look(None, *WHOLE)
    host.clock.advance(10)
    assert host.look(None, *WHOLE)["state/executor_spawn"] == 1


def test_says_so_when_nobody_tells_anything(host: Host) -> None:
    host.clock.advance(20)
    with pytest.raises(NoData, match="check that these collectors are enabled"):
        list(host.collector.collect())


def test_shows_one_state_of_42(host: Host) -> None:
    host.look({FIRST: IDLE}, *WHOLE)
    seen = host.look({FIRST: IDLE}, *WHOLE)
    states = {name: value for name, value in seen.items() if name.startswith("state/")}
    assert len(states) == 42
    assert {name for name, value in states.items() if value} == {"state/idle"}
    assert seen["state_seconds"] == 0
    assert host.look({FIRST: IDLE}, *WHOLE)["state_seconds"] == 1
    assert host.state() == "idle"


def test_counts_transitions_and_tells_them(host: Host) -> None:
    host.look({FIRST: IDLE}, *WHOLE)
    host.look({FIRST: IDLE}, *WHOLE)
    host.events()
    seen = host.look({FIRST: replace(IDLE, stalled=True, work=True, progress_age=40.0)}, *WHOLE)
    assert seen["transitions_total/idle/stalled"] == 1
    [event] = host.events()
    assert (event.severity, event.server, event.model_name) == ("critical", FIRST, "tiny")
    assert event.summary == f"{FIRST} is stalled, was idle for 1 s: It hangs."
    assert event.own_fields() == {"from": "idle", "to": "stalled", "legal": True, "seconds": 1.0}


def test_log_lines_reach_their_server_by_name_or_by_process(tmp_path: Path, clock: FakeClock) -> None:
    host = Host(tmp_path, clock, TARGETS)
    both = (*WHOLE, process(200, "api_server", SECOND))
    host.look({FIRST: IDLE, SECOND: DOWN}, *WHOLE)
    host.look({FIRST: IDLE, SECOND: DOWN}, *both)
    host.context.bus.emit(told.line("paused", server=FIRST, state="paused"))
    host.context.bus.emit(told.line("configuration", pid=200, state="config_resolved"))
    host.context.bus.emit(told.line("whose?", state="engine_dead"))
    host.look({FIRST: IDLE, SECOND: DOWN}, *both)
    assert host.state(FIRST) == "paused"
    assert host.state(SECOND) == "config_resolved"


def test_a_line_without_a_name_is_of_the_only_server(host: Host) -> None:
    host.look({FIRST: DOWN})
    host.look({FIRST: DOWN}, WHOLE[0])
    host.context.bus.emit(told.line("configuration", state="config_resolved"))
    host.look({FIRST: DOWN}, WHOLE[0])
    assert host.state() == "config_resolved"


def test_unknown_states_and_ends_of_strangers_are_passed_over(host: Host) -> None:
    host.look({FIRST: IDLE}, *WHOLE)
    host.context.bus.emit(told.line("?", state="flying"))
    host.context.bus.emit(told.exited("api_server", code=None))
    host.look({FIRST: IDLE}, *WHOLE)
    assert host.state() == "idle"


def test_the_start_is_dated_by_the_kernel(host: Host) -> None:
    host.look({FIRST: DOWN})  # at 1001; the process will have begun at 900 + 1000 ticks = 910
    young = replace(WHOLE[0], ref=Ref(100, 10_150))  # at 1001.5
    host.look({FIRST: DOWN}, young)
    seen = host.look({FIRST: IDLE}, young)
    assert seen["phase_seconds/total"] == 1.5


def test_an_exit_has_a_cause_and_a_time(host: Host) -> None:
    host.look({FIRST: IDLE}, *WHOLE)
    wall = host.clock.wall()
    host.context.bus.emit(told.exited("api_server", server=FIRST, pid=100, cause="crash", code=-11))
    seen = host.look({FIRST: DOWN})
    assert seen["last_exit_timestamp_seconds/api_server/crash/-11"] == wall
    assert host.state() == "exited"


def test_orphans_are_a_state(host: Host) -> None:
    host.look({FIRST: IDLE}, *WHOLE)
    host.look({FIRST: DOWN}, process(110, "engine_core", orphan=True), process(120, "worker", orphan=True))
    assert host.state() == "orphaned"


def test_a_lost_gpu_quarantines_the_server_that_used_it_and_no_other(tmp_path: Path, clock: FakeClock) -> None:
    host = Host(tmp_path, clock, TARGETS)
    other = [replace(one, server=SECOND, ref=Ref(one.ref.pid + 100, 1)) for one in WHOLE]
    host.context.board.post(Gpus((GpuSight("0", "u0", "H200", pids={120: 1}), GpuSight("1", "u1", "H200"))))
    host.look({FIRST: IDLE, SECOND: IDLE}, *WHOLE, *other)
    host.context.board.post(Gpus((GpuSight("0", "u0", "H200", lost=True), GpuSight("1", "u1", "H200"))))
    dead = replace(DOWN, health="503")
    host.look({FIRST: dead, SECOND: dead}, *WHOLE, *other)
    assert (host.state(FIRST), host.state(SECOND)) == ("quarantined", "engine_dead")


def test_a_fatal_xid_does_so_too_and_a_harmless_one_does_not(host: Host) -> None:
    host.context.board.post(Gpus((GpuSight("0", "u0", "H200", pids={120: 1}),)))
    host.look({FIRST: IDLE}, *WHOLE)
    host.context.bus.emit(told.xid(31, "warning"))
    host.look({FIRST: replace(DOWN, health="503")}, *WHOLE)
    assert host.state() == "engine_dead"
    host.context.bus.emit(told.xid(79))
    host.look({FIRST: replace(DOWN, health="503")}, *WHOLE)
    assert host.state() == "quarantined"


def test_a_new_exporter_goes_on_where_the_old_one_was(host: Host) -> None:
    host.look({FIRST: IDLE}, *WHOLE)
    before = host.look({FIRST: IDLE}, *WHOLE)
    host.collector.close()
    host.clock.advance(60)
    host.start()
    after = host.look({FIRST: IDLE}, *WHOLE)
    assert after["state_seconds"] == before["state_seconds"] + 61
    assert after["transitions_total/ready_verified/idle"] == 1
    assert host.events() == []


def test_a_spoiled_file_is_forgotten_and_said_so(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(host.config.state_dir) / "lifecycle.json"
    file.parent.mkdir()
    for text in (
        "{",
        "[]",
        json.dumps({"version": 9, "servers": {}}),
        json.dumps({"version": 1, "servers": {FIRST: {}}}),
    ):
        file.write_text(text)
        host.start()
        host.look({FIRST: IDLE}, *WHOLE)
        assert "is lost" in capsys.readouterr().err
        assert host.state() == "ready_verified"


def test_a_directory_that_cannot_be_written_is_said_once(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    Path(host.config.state_dir).write_text("a file in its place")
    host.look({FIRST: IDLE}, *WHOLE)
    for health in (DOWN, IDLE, DOWN):
        host.clock.advance(20)
        host.look({FIRST: health}, *(WHOLE if health is IDLE else ()))
    assert capsys.readouterr().err.count("cannot be saved") == 1


def test_writes_only_when_something_changed_and_not_too_often(host: Host) -> None:
    file = Path(host.config.state_dir) / "lifecycle.json"
    host.look({FIRST: IDLE}, *WHOLE)
    written = [file.read_text()]
    for seconds in (1, 10, 30):
        host.clock.advance(seconds)
        host.look({FIRST: IDLE}, *WHOLE)
        written.append(file.read_text())
    assert [text == written[0] for text in written] == [True, True, False, False]
    assert written[2] == written[3]


def test_two_servers_do_not_share_their_states(tmp_path: Path, clock: FakeClock) -> None:
    host = Host(tmp_path, clock, TARGETS)
    host.look({FIRST: IDLE, SECOND: DOWN}, *WHOLE)
    host.look({FIRST: IDLE, SECOND: DOWN}, *WHOLE)
    assert shown(host.collector, SECOND)["state/absent"] == 1
    assert shown(host.collector)["state/idle"] == 1


def test_options_come_from_the_configuration(tmp_path: Path, clock: FakeClock) -> None:
    options = {"quiet_seconds": Value(1, "exporter.yml line 3")}
    config = Config(targets=TARGETS[:1], collectors={"lifecycle": CollectorConfig(options=options)})
    host = Host(tmp_path, clock)
    host.config = config
    host.start()
    busy = replace(IDLE, values=EngineValues(3, 0, iterations=1.0))
    for sight in (IDLE, IDLE, busy, busy):
        host.look({FIRST: sight}, *WHOLE)
    assert host.state() == "serving"
    host.look({FIRST: IDLE}, *WHOLE)
    assert host.state() == "idle"


def test_a_bound_port_is_asked_for_while_it_matters(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def bound(port: int) -> bool:
        asked.append(port)
        return True

    monkeypatch.setattr("vllm_exporter.subjects.lifecycle.collector.is_bound", bound)
    host.look({FIRST: DOWN})
    host.look({FIRST: DOWN}, WHOLE[0])
    assert (host.state(), asked) == ("spawned", [])
    host.look({FIRST: DOWN}, WHOLE[0])
    assert (host.state(), asked) == ("port_bound", [8000])
    host.look({FIRST: DOWN}, WHOLE[0])
    assert asked == [8000]


def test_orphans_are_no_engines_and_the_main_api_server_comes_first() -> None:
    found = choose_processes(
        [
            process(130, "api_server", rank="1"),
            replace(process(150, "api_server"), main=True),
            process(140, "engine_core", rank="DP1"),
            process(90, "engine_core", rank="DP0", orphan=True),
            process(95, "worker", SECOND),
        ],
        FIRST,
    )
    assert [ref.pid for ref in found.api] == [150, 130]
    assert (found.engines, found.workers, found.orphans) == (frozenset({"DP1"}), frozenset(), 1)
