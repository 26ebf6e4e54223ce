"""Processes of other users with command lines and titles of vLLM: they are taken for no server, and make few series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.exporter.fake_proc import FakeProc
from tests.exporter.fakes import FakeClock
from tests.exporter.subjects.processes.test_collector import VLLM, show, start, tree
from tests.exporter.subjects.processes.test_in_containers import PROXY, contained, joined
from vllm_exporter.subjects.processes import collector as collector_module
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes import match_targets
from vllm_exporter.subjects.processes.collector import MAX_SHOWN

SERVICE, NOBODY = 1000, 65534


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """The user of each process by its id; the service's, where it is not said."""
    known: dict[int, int] = {}

    def read(proc: Path, pid: int) -> int:
        return known.get(pid, SERVICE)

    for module in (match_targets, collector_module):
        monkeypatch.setattr(module, "read_user", read)
    return known


def own_port(proc: FakeProc, pid: int, users: Mapping[int, int], port: int = 8000) -> None:
    """Writes the kernel's table as the process sees it: the service's user listens on the port."""
    (proc.root / str(pid) / "net").mkdir(exist_ok=True)
    line = f"0: 0100007F:{port:04X} 00000000:0000 0A 0:0 0:0 0 {SERVICE} 0 5555 1 0 100\n"
    (proc.root / str(pid) / "net/tcp").write_text("  sl  local_address\n" + line)


def test_a_process_that_only_says_so_is_not_the_server_that_another_listens_for(
    proc: FakeProc, users: dict[int, int]
) -> None:
    """Nobody starts `vllm serve --port 8000` with an engine below it, and kills the first."""
    tree(proc)
    users |= {900: NOBODY, 901: NOBODY}
    proc.process(900, 1, VLLM + " --port 8000")
    proc.process(901, 900, "VLLM::EngineCore")
    clock = FakeClock()
    collector = start(proc, "localhost:8000", clock=clock)
    assert show(collector, names.PROCESSES)["gpu1:8000", "engine_core"] == 1
    proc.end(900)
    proc.process(901, 1, "VLLM::EngineCore", start=9010)
    assert show(collector, names.PROCESS_ORPHANS) == {("gpu1:8000",): 0, ("",): 1}


def test_a_process_of_the_same_user_that_only_says_so_is_not_it_either(proc: FakeProc, users: dict[int, int]) -> None:
    """A second start that will find the port in use."""
    tree(proc)
    proc.process(900, 1, VLLM + " --port 8000")
    assert show(start(proc, "localhost:8000"), names.PROCESSES)["gpu1:8000", "api_server"] == 1


def test_where_open_sockets_cannot_be_seen_the_kernel_says_whose_port_it_is(
    proc: FakeProc, users: dict[int, int]
) -> None:
    users[900] = NOBODY
    for pid in (100, 900):
        proc.process(pid, 1, VLLM + " --port 8000")
        own_port(proc, pid, users)
    assert show(start(proc, "localhost:8000"), names.PROCESSES) == {
        ("gpu1:8000", "api_server"): 1,
        ("", "api_server"): 1,
    }


def test_a_program_with_capabilities_seems_to_be_roots_and_is_no_stranger(
    proc: FakeProc, users: dict[int, int]
) -> None:
    """The kernel gives the files in /proc of a python with cap_sys_nice to root; its socket says who it is."""
    users |= {100: 0, 101: 0}
    proc.process(100, 1, VLLM + " --port 8000")
    own_port(proc, 100, users)
    proc.process(101, 100, "VLLM::EngineCore")
    assert show(start(proc, "localhost:8000"), names.PROCESSES) == {
        ("gpu1:8000", "api_server"): 1,
        ("gpu1:8000", "engine_core"): 1,
    }


def test_while_a_server_is_down_only_its_own_user_can_claim_to_start_it(proc: FakeProc, users: dict[int, int]) -> None:
    users[900] = NOBODY
    tree(proc)
    assert show(start(proc, "localhost:8000"), names.PROCESSES)["gpu1:8000", "api_server"] == 1
    proc.end(100, 101, 102, 103)
    collector = start(proc, "localhost:8000")  # after a restart of the exporter too
    proc.process(900, 1, VLLM + " --port 8000")
    assert show(collector, names.PROCESSES)["gpu1:8000", "api_server"] == 0
    proc.process(200, 1, VLLM + " --port 8000")
    assert show(collector, names.PROCESSES)["gpu1:8000", "api_server"] == 1


def test_of_several_users_that_claim_a_server_nobody_knows_none_is_believed(
    proc: FakeProc, users: dict[int, int]
) -> None:
    users[900] = NOBODY
    proc.process(100, 1, VLLM + " --port 8000")
    proc.process(900, 1, VLLM + " --port 8000")
    collector = start(proc, "localhost:8000")
    assert show(collector, names.PROCESSES) == {("", "api_server"): 2}
    proc.end(900)
    assert show(collector, names.PROCESSES)["gpu1:8000", "api_server"] == 1


def test_a_claim_made_before_the_server_came_is_taken_back_with_all_below_it(
    proc: FakeProc, users: dict[int, int]
) -> None:
    users |= {900: NOBODY, 901: NOBODY}
    proc.process(900, 1, VLLM + " --port 8000")
    proc.process(901, 900, "VLLM::EngineCore")
    collector = start(proc, "localhost:8000")
    assert show(collector, names.PROCESSES)["gpu1:8000", "engine_core"] == 1
    proc.end(900)
    tree(proc)
    counts = show(collector, names.PROCESSES)
    assert (counts["gpu1:8000", "engine_core"], counts["", "engine_core"]) == (1, 1)
    assert show(collector, names.PROCESS_ORPHANS)["gpu1:8000",] == 0


def test_a_server_that_comes_back_as_another_user_is_known_once_it_listens(
    proc: FakeProc, users: dict[int, int]
) -> None:
    tree(proc)
    collector = start(proc, "localhost:8000")
    show(collector, names.PROCESSES)
    proc.end(100, 101, 102, 103)
    users |= {200: 2000, 201: 2000, 202: 2000, 203: 2000}
    tree(proc, api=200)
    assert show(collector, names.PROCESSES)["gpu1:8000", "worker"] == 2


@pytest.mark.parametrize(("owner", "server"), [(0, "gpu1:18000"), (SERVICE, "gpu1:18000"), (NOBODY, "")])
def test_a_port_is_forwarded_to_a_container_only_by_roots_proxy_or_the_servers_own(
    proc: FakeProc, users: dict[int, int], owner: int, server: str
) -> None:
    contained(proc)
    proc.process(60, 1, PROXY)
    users[60] = owner
    assert joined(start(proc, "localhost:18000")) == {server}


def test_of_hundreds_of_strangers_few_are_shown_and_the_servers_own_first(
    proc: FakeProc, capsys: pytest.CaptureFixture[str]
) -> None:
    tree(proc, api=5000)
    for number in range(MAX_SHOWN + 50):
        proc.process(1000 + number, 1, f"VLLM::Worker_TP{number}")
    collector = start(proc, "localhost:8000")
    threads = show(collector, names.PROCESS_THREADS)
    assert len(threads) == MAX_SHOWN
    assert ("gpu1:8000", "worker", "TP1") in threads
    assert capsys.readouterr().err.count("left out") == 1
