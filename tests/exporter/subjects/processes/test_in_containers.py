"""The collector of vLLM's processes where vLLM runs in containers: Docker's, Podman's, a pod's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exporter.fake_proc import FakeProc
from tests.exporter.fake_unix_server import unix_server
from tests.exporter.subjects.processes.test_collector import ID, VLLM, show, start
from tests.patience import wait_for
from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import ProcessExited, ProcessOomKilled
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes.collector import ProcessesCollector

ADDRESS = "172.17.0.2"
PROXY = (
    "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 18000 -container-ip 172.17.0.2 -container-port 8000"
)
LISTED = [
    {
        "Id": ID,
        "Names": ["/vllm-a"],
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 18000, "Type": "tcp"}],
    }
]


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


def contained(proc: FakeProc, address: str = ADDRESS) -> None:
    """A server and its engine in one container, as the host sees them."""
    proc.process(50, 1, "/usr/bin/containerd-shim-runc-v2 -id x")
    proc.process(100, 50, VLLM)
    proc.listen(100, 8000, 5000)
    proc.process(101, 100, "VLLM::EngineCore")
    for pid in (100, 101):
        proc.container(pid, ID, address)


def joined(collector: ProcessesCollector) -> set[str]:
    return {server for server, _ in show(collector, names.PROCESSES)}


def test_a_container_goes_by_its_short_id_where_no_engine_is_asked(proc: FakeProc) -> None:
    contained(proc, address="")
    assert show(start(proc, "localhost:8000"), names.PROCESS_CONTAINER_INFO) == {
        ("gpu1:8000", "api_server", "", "4f2a4f2a4f2a"): 1,
        ("gpu1:8000", "engine_core", "", "4f2a4f2a4f2a"): 1,
    }


def test_outside_containers_there_is_no_container(proc: FakeProc) -> None:
    proc.process(100, 1, VLLM)
    assert show(start(proc, "localhost:8000"), names.PROCESS_CONTAINER_INFO) == {}


def test_a_port_of_its_own_network_is_not_one_of_this_host(proc: FakeProc) -> None:
    contained(proc)
    assert joined(start(proc, "localhost:8000")) == {""}


def test_is_joined_by_the_port_that_dockers_proxy_forwards(proc: FakeProc) -> None:
    contained(proc)
    proc.process(60, 1, PROXY)
    assert joined(start(proc, "localhost:18000")) == {"gpu1:18000"}


def test_a_proxy_to_another_container_joins_nothing(proc: FakeProc) -> None:
    contained(proc, address="172.17.0.3")
    proc.process(60, 1, PROXY)
    assert joined(start(proc, "localhost:18000")) == {""}


def test_a_server_that_still_loads_is_joined_by_its_command_line(proc: FakeProc) -> None:
    contained(proc)
    (proc.root / "100/fd/3").unlink()
    proc.process(60, 1, PROXY)
    assert joined(start(proc, "localhost:18000")) == {"gpu1:18000"}


def test_a_pod_is_joined_by_its_address(proc: FakeProc) -> None:
    contained(proc, address="10.244.1.7")
    assert joined(start(proc, "10.244.1.7:8000")) == {"10.244.1.7:8000"}


def test_another_port_of_the_same_pod_joins_nothing(proc: FakeProc) -> None:
    contained(proc, address="10.244.1.7")
    assert joined(start(proc, "10.244.1.7:9999")) == {""}


def test_the_engine_tells_the_name_and_the_published_port(proc: FakeProc, tmp_path: Path) -> None:
    contained(proc)
    answers = {"GET /containers/json": (200, json.dumps(LISTED).encode())}
    with unix_server(tmp_path / "docker.sock", answers):
        collector = start(proc, "localhost:18000", docker_socket=str(tmp_path / "docker.sock"))
        assert wait_for(lambda: joined(collector) == {"gpu1:18000"})
        assert show(collector, names.PROCESS_CONTAINER_INFO).keys() == {
            ("gpu1:18000", "api_server", "", "vllm-a"),
            ("gpu1:18000", "engine_core", "", "vllm-a"),
        }


def test_a_target_may_be_called_by_the_containers_name(proc: FakeProc, tmp_path: Path) -> None:
    contained(proc)
    answers = {"GET /containers/json": (200, json.dumps(LISTED).encode())}
    with unix_server(tmp_path / "docker.sock", answers):
        collector = start(proc, "vllm-a:8000", docker_socket=str(tmp_path / "docker.sock"))
        assert wait_for(lambda: joined(collector) == {"vllm-a:8000"})


def test_an_engine_that_does_not_answer_costs_the_names_only(
    proc: FakeProc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contained(proc, address="")
    collector = start(proc, "localhost:8000", docker_socket=str(tmp_path / "none.sock"))
    assert {key[3] for key in show(collector, names.PROCESS_CONTAINER_INFO)} == {"4f2a4f2a4f2a"}
    assert wait_for(lambda: "none.sock" in capsys.readouterr().err)
    assert show(collector, names.PROCESSES)["gpu1:8000", "api_server"] == 1


@pytest.mark.parametrize(("code", "cause"), [(137, "sigkill"), (1, "error"), (0, "clean")])
def test_the_engine_tells_how_an_api_server_ended_that_nobody_saw(
    proc: FakeProc, tmp_path: Path, code: int, cause: str
) -> None:
    contained(proc, address="")
    state = json.dumps({"State": {"Running": False, "Restarting": False, "ExitCode": code}}).encode()
    answers = {"GET /containers/json": (200, b"[]"), f"GET /containers/{ID}/json": (200, state)}
    with unix_server(tmp_path / "docker.sock", answers):
        collector = start(proc, "localhost:8000", docker_socket=str(tmp_path / "docker.sock"))
        show(collector, names.PROCESSES)
        proc.end(100)
        key = ("gpu1:8000", "api_server", cause)
        assert wait_for(lambda: show(collector, names.PROCESS_EXITS_TOTAL)[key] == 1)


def test_a_container_whose_group_counted_an_oom_kill_ended_by_it(proc: FakeProc, tmp_path: Path) -> None:
    contained(proc, address="")
    group = tmp_path / f"sys/fs/cgroup/system.slice/docker-{ID}.scope"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("oom 0\noom_kill 0\n")
    state = json.dumps({"State": {"Running": False, "ExitCode": 137}}).encode()
    with unix_server(tmp_path / "docker.sock", {f"GET /containers/{ID}/json": (200, state)}):
        collector = start(proc, "localhost:8000", docker_socket=str(tmp_path / "docker.sock"))
        subscription = collector.context.bus.subscribe()
        show(collector, names.PROCESSES)
        (group / "memory.events").write_text("oom 1\noom_kill 1\n")
        proc.end(100)
        key = ("gpu1:8000", "api_server", "oom_kill")
        assert wait_for(lambda: show(collector, names.PROCESS_EXITS_TOTAL)[key] == 1)
    exited, killed = subscription.drain()
    assert isinstance(exited, ProcessExited)
    assert isinstance(killed, ProcessOomKilled)
    assert (exited.cause, killed.severity, killed.pid) == ("oom_kill", "critical", 100)


def test_a_container_alone_without_vllm_is_no_data(proc: FakeProc) -> None:
    proc.process(60, 1, PROXY)
    with pytest.raises(NoData):
        list(start(proc, "localhost:18000").collect())
