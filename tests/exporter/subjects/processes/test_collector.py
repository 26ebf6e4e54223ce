"""The collector of vLLM's processes on a /proc in a directory."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.exporter.fake_proc import BOOT_TIME, FakeProc
from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from vllm_exporter.config.config import CollectorConfig, Config, TargetConfig
from vllm_exporter.config.yaml_lines import Value
from vllm_exporter.errors import ConfigError, NoData
from vllm_exporter.facts.events import ProcessExited
from vllm_exporter.facts.facts import Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.metrics.family import Family
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes.collector import ProcessesCollector

PAGE = 4096
ID = "4f2a" * 16
VLLM = "/venv/bin/python /venv/bin/vllm serve m"


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


def start(proc: FakeProc, *addresses: str, clock: FakeClock | None = None, **options: str | bool) -> ProcessesCollector:
    """A newly started exporter; localhost is gpu1."""
    targets = tuple(TargetConfig(address, address.replace("localhost", "gpu1")) for address in addresses)
    own = CollectorConfig(options={key: Value(value, "line 1") for key, value in options.items()})
    config = Config(targets=targets, state_dir=str(proc.root.parent / "state"), collectors={"processes": own})
    return ProcessesCollector(Context(config, clock or FakeClock(), proc=proc.root, sys=proc.root.parent / "sys"))


def tree(proc: FakeProc, api: int = 100, port: int = 8000, command: str = VLLM) -> None:
    proc.process(api, 1, command, threads=12, pages=100)
    proc.listen(api, port, 5000 + port)
    proc.process(api + 1, api, "VLLM::EngineCore", threads=15, ticks=250, pages=200)
    proc.process(api + 2, api + 1, "VLLM::Worker_TP0", pages=300)
    proc.process(api + 3, api + 1, "VLLM::Worker_TP1", pages=400)


def show(collector: ProcessesCollector, family: Family) -> dict[tuple[str, ...], float]:
    found = [sample for sample in samples(collector.collect()) if sample.family == family]
    shown = {sample.values: sample.value for sample in found}
    assert len(shown) == len(found), "two samples with the same labels"
    return shown


def test_counts_the_processes_of_a_server_by_role(proc: FakeProc) -> None:
    tree(proc)
    assert show(start(proc, "localhost:8000"), names.PROCESSES) == {
        ("gpu1:8000", "api_server"): 1,
        ("gpu1:8000", "engine_core"): 1,
        ("gpu1:8000", "worker"): 2,
    }


def test_says_what_each_process_costs(proc: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_exporter.linux.stat.PAGE", PAGE)
    monkeypatch.setattr("vllm_exporter.subjects.processes.series.TICKS", 100)
    tree(proc)
    collector = start(proc, "localhost:8000")
    engine = ("gpu1:8000", "engine_core", "")
    assert show(collector, names.PROCESS_RESIDENT_MEMORY_BYTES)[engine] == 200 * 4096
    assert show(collector, names.PROCESS_CPU_SECONDS_TOTAL)[engine] == 2.5
    assert show(collector, names.PROCESS_THREADS)[engine] == 15
    assert show(collector, names.PROCESS_START_TIME_SECONDS)[engine] == BOOT_TIME + 10.1
    assert show(collector, names.PROCESS_THREADS).keys() >= {
        ("gpu1:8000", "worker", "TP0"),
        ("gpu1:8000", "worker", "TP1"),
    }


def test_two_servers_are_told_apart_by_the_port_they_listen_on(proc: FakeProc) -> None:
    tree(proc, api=100, port=8000)
    tree(proc, api=200, port=8001)  # its command line does not say so
    counts = show(start(proc, "localhost:8000", "localhost:8001"), names.PROCESSES)
    assert counts["gpu1:8000", "worker"] == 2
    assert counts["gpu1:8001", "worker"] == 2


@pytest.mark.parametrize(
    "command", ["python -m huggingfaceserver --model_id=m", "python3 app.py", "ray::vLLMHttpServer"]
)
def test_a_program_of_any_name_that_runs_an_engine_and_listens_for_a_target_is_its_server(
    proc: FakeProc, command: str
) -> None:
    """KServe's server, a script around AsyncLLM, an actor of verl."""
    tree(proc, command=command)
    tree(proc, api=200, port=9999, command="python3 offline.py")  # this one is nobody's target
    collector = start(proc, "localhost:8000")
    assert show(collector, names.PROCESSES) == {
        ("", "engine_core"): 1,
        ("", "worker"): 2,
        ("gpu1:8000", "api_server"): 1,
        ("gpu1:8000", "engine_core"): 1,
        ("gpu1:8000", "worker"): 2,
    }
    proc.end(101, 102, 103)
    assert show(collector, names.PROCESSES)["gpu1:8000", "api_server"] == 1  # its engine died, it did not
    proc.end(100)
    assert show(collector, names.PROCESSES)["gpu1:8000", "api_server"] == 0


def test_a_server_that_still_loads_is_joined_by_its_command_line(proc: FakeProc) -> None:
    proc.process(100, 1, VLLM + " --port 8123")
    assert show(start(proc, "localhost:8123"), names.PROCESSES) == {("gpu1:8123", "api_server"): 1}


def test_a_tree_that_is_no_target_has_no_server(proc: FakeProc) -> None:
    tree(proc, port=9999, command=VLLM + " --port 9999")
    collector = start(proc, "localhost:8000")
    assert show(collector, names.PROCESSES)["", "worker"] == 2
    assert show(collector, names.PROCESS_ORPHANS) == {("",): 0}


def test_an_orphan_and_its_workers_are_counted_for_the_server_they_belonged_to(proc: FakeProc) -> None:
    tree(proc)
    collector = start(proc, "localhost:8000")
    assert show(collector, names.PROCESS_ORPHANS) == {("gpu1:8000",): 0}
    proc.end(100)
    proc.process(101, 1, "VLLM::EngineCore")
    assert show(collector, names.PROCESS_ORPHANS) == {("gpu1:8000",): 3}
    assert show(collector, names.PROCESSES)["gpu1:8000", "api_server"] == 0


def test_a_restart_of_the_exporter_forgets_no_parentage(proc: FakeProc) -> None:
    tree(proc)
    show(start(proc, "localhost:8000"), names.PROCESSES)
    proc.end(100)
    proc.process(101, 1, "VLLM::EngineCore")
    assert show(start(proc, "localhost:8000"), names.PROCESS_ORPHANS) == {("gpu1:8000",): 3}


def test_an_orphan_found_at_the_first_start_has_unknown_parentage(proc: FakeProc) -> None:
    proc.process(101, 1, "VLLM::EngineCore")
    assert show(start(proc, "localhost:8000"), names.PROCESS_ORPHANS) == {("",): 0}


def test_after_a_reboot_the_same_ids_mean_nothing(proc: FakeProc) -> None:
    tree(proc)
    show(start(proc, "localhost:8000"), names.PROCESSES)
    proc.boot("boot-2")
    proc.end(100, 102, 103)
    proc.process(101, 1, "VLLM::EngineCore")
    assert show(start(proc, "localhost:8000"), names.PROCESS_ORPHANS) == {("",): 0, ("gpu1:8000",): 0}


def test_a_server_whose_processes_are_all_gone_is_still_reported(proc: FakeProc) -> None:
    tree(proc)
    collector = start(proc, "localhost:8000")
    show(collector, names.PROCESSES)
    proc.end(100, 101, 102, 103)
    assert set(show(collector, names.PROCESSES).values()) == {0}
    assert show(start(proc, "localhost:8000"), names.PROCESS_ORPHANS) == {("gpu1:8000",): 0}


def test_a_new_tree_beside_an_orphan_adds_up_without_a_duplicate(proc: FakeProc) -> None:
    tree(proc)
    collector = start(proc, "localhost:8000")
    show(collector, names.PROCESSES)
    proc.end(100, 102, 103)
    proc.process(101, 1, "VLLM::EngineCore", threads=15)
    tree(proc, api=500)
    assert show(collector, names.PROCESSES)["gpu1:8000", "engine_core"] == 2
    assert show(collector, names.PROCESS_THREADS)["gpu1:8000", "engine_core", ""] == 30
    assert show(collector, names.PROCESS_ORPHANS) == {("gpu1:8000",): 1}


def test_without_vllm_there_is_no_data(proc: FakeProc) -> None:
    with pytest.raises(NoData, match="no vLLM process"):
        list(start(proc, "localhost:8000").collect())


def test_a_damaged_file_or_a_directory_that_cannot_be_written_stops_nothing(
    proc: FakeProc, capsys: pytest.CaptureFixture[str]
) -> None:
    tree(proc)
    state = proc.root.parent / "state"
    state.mkdir()
    (state / "processes.json").write_text("not JSON")
    assert show(start(proc, "localhost:8000"), names.PROCESSES)["gpu1:8000", "worker"] == 2
    assert "parentage of processes is lost" in capsys.readouterr().err
    (state / "processes.json").unlink()
    state.rmdir()
    state.write_text("a file where the directory should be")
    collector = start(proc, "localhost:8000")
    assert show(collector, names.PROCESSES)["gpu1:8000", "worker"] == 2
    assert "cannot be saved" in capsys.readouterr().err


def test_counts_processes_by_state_of_their_main_thread(proc: FakeProc) -> None:
    tree(proc)
    proc.process(102, 101, "VLLM::Worker_TP0", state="D")
    proc.process(103, 101, "VLLM::Worker_TP1", state="R")
    states = show(start(proc, "localhost:8000"), names.PROCESS_STATES)
    assert {key[2]: value for key, value in states.items() if key[1] == "worker"} == {
        "running": 1,
        "sleeping": 0,
        "uninterruptible": 1,
        "stopped": 0,
    }


def test_counts_open_files_of_those_that_can_be_read(proc: FakeProc) -> None:
    tree(proc)
    assert show(start(proc, "localhost:8000"), names.PROCESS_OPEN_FDS) == {("gpu1:8000", "api_server", ""): 2}


def test_an_api_server_in_the_place_of_another_is_a_restart(proc: FakeProc) -> None:
    tree(proc)
    collector = start(proc, "localhost:8000")
    assert show(collector, names.PROCESS_RESTARTS_TOTAL) == {("gpu1:8000",): 0}
    proc.end(100, 101, 102, 103)
    assert show(collector, names.PROCESS_RESTARTS_TOTAL) == {("gpu1:8000",): 0}
    tree(proc, api=500)
    assert show(collector, names.PROCESS_RESTARTS_TOTAL) == {("gpu1:8000",): 1}
    assert show(collector, names.PROCESS_RESTARTS_TOTAL) == {("gpu1:8000",): 1}


def test_a_restart_while_the_exporter_was_away_is_counted(proc: FakeProc) -> None:
    tree(proc)
    show(start(proc, "localhost:8000"), names.PROCESSES)
    proc.end(100, 101, 102, 103)
    tree(proc, api=500)
    assert show(start(proc, "localhost:8000"), names.PROCESS_RESTARTS_TOTAL) == {("gpu1:8000",): 1}


def test_every_cause_of_an_end_is_there_with_0(proc: FakeProc) -> None:
    tree(proc)
    exits = show(start(proc, "localhost:8000"), names.PROCESS_EXITS_TOTAL)
    assert len(exits) == 3 * 8
    assert set(exits.values()) == {0}


def test_an_end_that_nobody_saw_and_nobody_can_tell_of_is_unknown(proc: FakeProc) -> None:
    tree(proc)
    collector = start(proc, "localhost:8000", systemd=False)
    subscription = collector.context.bus.subscribe()
    show(collector, names.PROCESSES)
    proc.end(103)
    exits = show(collector, names.PROCESS_EXITS_TOTAL)
    assert {key: value for key, value in exits.items() if value} == {("gpu1:8000", "worker", "unknown"): 1}
    assert subscription.drain() == [
        ProcessExited(
            severity="warning",
            summary="worker TP1 of gpu1:8000 (pid 103) ended: cause not known",
            server="gpu1:8000",
            time=1_700_000_000,
            cause="unknown",
            code=None,
            pid=103,
            role="worker",
            rank="TP1",
            container="",
        )
    ]
    assert show(collector, names.PROCESS_EXITS_TOTAL)["gpu1:8000", "worker", "unknown"] == 1


def test_a_process_that_is_gone_when_the_exporter_starts_is_no_end_that_it_saw(proc: FakeProc) -> None:
    tree(proc)
    show(start(proc, "localhost:8000"), names.PROCESSES)
    proc.end(103)
    assert set(show(start(proc, "localhost:8000"), names.PROCESS_EXITS_TOTAL).values()) == {0}


def test_posts_every_process_to_the_board(proc: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_exporter.linux.stat.PAGE", PAGE)
    monkeypatch.setattr("vllm_exporter.subjects.processes.collector.TICKS", 100)
    tree(proc)
    proc.container(101, ID)
    collector = start(proc, "localhost:8000")
    show(collector, names.PROCESSES)
    posted = collector.context.board.latest(Trees)
    assert posted is not None
    assert set(posted.processes) == {100, 101, 102, 103}
    assert posted.processes[101] == VllmProcess(
        Ref(101, 1010),
        "engine_core",
        "",
        "gpu1:8000",
        100,
        "S",
        resident=200 * 4096,
        cpu_seconds=2.5,
        container=ID[:12],
    )
    assert {server: main.ref for server, main in posted.mains().items()} == {"gpu1:8000": Ref(100, 1000)}
    proc.end(100)
    proc.process(101, 1, "VLLM::EngineCore", state="D")
    show(collector, names.PROCESSES)
    posted = collector.context.board.latest(Trees)
    assert posted is not None
    assert (posted.processes[101].orphan, posted.processes[101].state, posted.processes[101].ppid) == (True, "D", 1)


def test_without_vllm_the_board_says_that_there_is_none(proc: FakeProc) -> None:
    collector = start(proc, "localhost:8000")
    with pytest.raises(NoData):
        list(collector.collect())
    assert collector.context.board.latest(Trees) == Trees({})


def test_vllm_as_process_1_of_a_pid_namespace_leaves_no_orphans(proc: FakeProc) -> None:
    proc.process(1, 0, VLLM, start=0)
    proc.process(2, 1, "VLLM::EngineCore")
    proc.process(3, 2, "VLLM::Worker_TP0")
    collector = start(proc, "localhost:8000")
    assert set(show(collector, names.PROCESS_ORPHANS).values()) == {0}
    proc.end(2)
    proc.process(3, 1, "VLLM::Worker_TP0")
    assert set(show(collector, names.PROCESS_ORPHANS).values()) == {0}


def test_proportional_memory_is_read_on_request_only(proc: FakeProc, clock: FakeClock) -> None:
    tree(proc)
    (proc.root / "101/smaps_rollup").write_text("55d0-7fff ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss: 500 kB\n")
    assert show(start(proc, "localhost:8000"), names.PROCESS_PROPORTIONAL_MEMORY_BYTES) == {}
    collector = start(proc, "localhost:8000", clock=clock, pss=True)
    until = time.monotonic() + 5
    while not (found := show(collector, names.PROCESS_PROPORTIONAL_MEMORY_BYTES)) and time.monotonic() < until:
        clock.advance(10)
    assert found == {("gpu1:8000", "engine_core", ""): 500 * 1024}
    collector.close()


def test_this_hosts_name_is_what_the_system_says(proc: FakeProc) -> None:
    proc.process(100, 1, VLLM)
    name = f"{socket.gethostname()}:8000"
    assert show(start(proc, name), names.PROCESSES) == {(name, "api_server"): 1}


@pytest.mark.parametrize("where", ["ftp://x", "relative.sock", "unix://relative.sock", "http://host:99999"])
def test_refuses_a_place_where_nobody_can_be_asked(where: str) -> None:
    collectors = {"processes": CollectorConfig(options={"supervisord": Value(where, "line 1")})}
    with pytest.raises(ConfigError, match=r"collectors\.processes\.supervisord"):
        ProcessesCollector.check(Config(collectors=collectors), "processes")


@pytest.mark.parametrize("where", ["/run/a.sock", "unix:///run/a.sock", "localhost:9001", "http://127.0.0.1:9001/"])
def test_takes_each_way_to_write_a_place(where: str) -> None:
    collectors = {"processes": CollectorConfig(options={"docker_socket": Value(where, "line 1")})}
    ProcessesCollector.check(Config(collectors=collectors), "processes")
