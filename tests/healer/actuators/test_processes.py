"""Reading /proc, and telling API server, engine, worker and wrapper apart."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path

import pytest

from vllm_healer.actuators.commands import is_vllm_serve, model_of, role_of
from vllm_healer.actuators.processes import (
    Process,
    Snapshot,
    choose_api_server,
    find_traced,
    parse_key,
    parse_process,
    read_process,
    send,
    tracer_of,
)
from vllm_healer.model import ProcessRef

PTRACE_SEIZE = 0x4206  # ptrace(2): attach without a stop
STAT = b"4712 (VLLM::EngineCor) S 4711 4711 4711 0 -1 4194304 9 0 0 0 12 3 0 0 20 0 15 0 99100 655360 1200 18446744"


def test_reads_parent_start_and_title() -> None:
    process = parse_process(STAT, b"VLLM::EngineCore" + b" " * 40 + b"\0")
    assert (process.pid, process.parent, process.start_ticks, process.state) == (4712, 4711, 99100, "S")
    assert process.ref == ProcessRef(4712, 99100, "engine_core", "VLLM::EngineCore")


def test_a_name_with_spaces_and_parentheses_is_read_to_its_last_one() -> None:
    process = parse_process(STAT.replace(b"VLLM::EngineCor", b"a) S 1 (b"), b"")
    assert (process.comm, process.parent, process.title) == ("a) S 1 (b", 4711, "[a) S 1 (b]")


@pytest.mark.parametrize(
    ("argv", "role"),
    [
        (("VLLM::EngineCore",), "engine_core"),
        (("VLLM::EngineCore_DP1",), "engine_core"),
        (("VLLM::Worker_DP0_TP1",), "worker"),
        (("mine::Worker",), "worker"),  # VLLM_PROCESS_NAME_PREFIX=mine
        (("VLLM::APIServer_0",), "api_server"),
        (("VLLM::DPCoordinator",), "helper"),
        (("/opt/venv/bin/python3.12", "/opt/venv/bin/vllm", "serve", "model"), "api_server"),
        (("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"), "api_server"),
        (("VLLM::StageEngineCoreProc_DP0",), "engine_core"),  # of packages that extend vLLM
        (("VLLM::OmniWorker_TP1",), "worker"),
        (("mine::StageEngineCoreProc",), "helper"),  # behind vLLM's own prefix only
        (("vllm-0.11", "serve", "m"), "api_server"),
        (("/opt/vllm-omni", "serve", "m", "--omni"), "api_server"),
        (("python3.13t", "-X", "dev", "-um", "vllm_omni.entrypoints.openai.api_server"), "api_server"),
        (("python", "-m", "dynamo.vllm", "--model", "m"), "api_server"),
        (("python", "-mvllm.entrypoints.cli.main", "serve", "m"), "api_server"),
        (("python3", "/" + "runfiles/" * 60 + "bin/vllm", "serve"), "api_server"),
        (("python", "-W", "ignore", "/opt/vllm/entrypoints/openai/api_server.py"), "api_server"),
        (("python3", "-c", "from multiprocessing.resource_tracker import main"), "helper"),
        (("sleep", "600"), "helper"),
        ((), "helper"),
    ],
)
def test_knows_roles_by_title_and_command_line(argv: tuple[str, ...], role: str) -> None:
    assert role_of(argv) == role


@pytest.mark.parametrize(
    "argv",
    [
        ("bash", "-c", "vllm serve model"),
        ("uv", "run", "vllm", "serve", "model"),
        ("python3", "launch.py", "vllm", "serve"),
        ("vllm", "bench", "serve"),
        ("grep", "vllm", "serve"),
        ("vllm-router", "serve"),
        ("vllm-exporter", "serve", "--config", "exporter.yml"),
        ("python3", "-m", "vllm_healer", "serve"),
        ("/opt/venv/bin/python3", "/opt/venv/bin/vllm-healer", "serve"),
        ("python3", "-c", "vllm", "serve"),
        ("python3", "-m"),
        ("python3",),
    ],
)
def test_what_only_mentions_vllm_serve_is_not_the_api_server(argv: tuple[str, ...]) -> None:
    assert not is_vllm_serve(argv)


def process(pid: int, parent: int, *argv: str, state: str = "S") -> Process:
    return Process(pid, parent, start_ticks=pid * 10, state=state, comm=argv[0][:15], argv=argv)


def snapshot(*processes: Process) -> Snapshot:
    return Snapshot("boot-a", 5000.0, {process.pid: process for process in processes})


def test_a_tree_has_parents_before_children_and_no_strangers() -> None:
    seen = snapshot(
        process(12, 11, "VLLM::Worker"),
        process(11, 10, "VLLM::EngineCore"),
        process(10, 1, "vllm", "serve"),
        process(13, 10, "python3", state="Z"),
        process(20, 1, "sshd"),
    )
    assert [p.pid for p in seen.tree(10)] == [10, 11, 12]
    assert seen.tree(99) == ()


def test_descendants_are_of_those_that_live_and_never_of_a_later_process_with_their_pid() -> None:
    seen = snapshot(
        process(20, 1, "VLLM::EngineCore"),
        process(21, 20, "VLLM::Worker"),
        process(30, 1, "VLLM::Worker"),
        process(31, 30, "VLLM::Worker"),
    )
    earlier = ProcessRef(30, 299, "worker", "VLLM::Worker")
    refs = (seen.processes[20].ref, earlier, ProcessRef(99, 990, "worker", "VLLM::Worker"))
    assert [ref.pid for ref in seen.with_descendants(refs)] == [20, 21]


def test_the_api_server_is_the_topmost_vllm_serve_below_a_wrapper() -> None:
    wrapper, server = process(10, 1, "bash", "-c", "vllm serve"), process(11, 10, "vllm", "serve")
    assert choose_api_server((wrapper, server, process(12, 11, "VLLM::APIServer_0"))) == server


def test_while_the_wrapper_has_started_nothing_yet_it_stands_for_the_server() -> None:
    wrapper = process(10, 1, "bash", "-c", "vllm serve")
    assert choose_api_server((wrapper,)) == wrapper
    assert choose_api_server(()) is None


def test_a_process_is_found_by_pid_and_start_time_together() -> None:
    seen = snapshot(process(10, 1, "vllm", "serve"), process(11, 1, "VLLM::Worker", state="Z"))
    assert seen.find(10, 100) is not None
    assert seen.find(10, 101) is None
    assert seen.find(11, 110) is None  # a zombie holds nothing


def test_keys_of_this_kind_are_read_and_others_are_not() -> None:
    assert parse_key("boot-a/4711/99000") == ("boot-a", 4711, 99000)
    assert parse_key("none") is None
    assert parse_key("elsewhere/47/x") is None


def test_never_signals_itself() -> None:
    own = read_process(os.getpid())
    assert own is not None
    assert send(own.ref, signal.SIGKILL) is False


def test_a_process_that_is_gone_is_not_an_error() -> None:
    assert send(ProcessRef(2**22 + 1, 1, "worker", "VLLM::Worker"), signal.SIGKILL) is False


def test_names_the_debugger_of_a_process(tmp_path: Path) -> None:
    """The field of proc_pid_status(5); a container may not trace its own processes, so it is made up."""
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "status").write_text("Name:\tvllm\nTracerPid:\t9\nUid:\t0\t0\t0\t0\n")
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "stat").write_text("9 (gdb) S 1 " + " ".join(["0"] * 17) + " 77 0")
    (tmp_path / "9" / "cmdline").write_text("gdb\0-p\x008\0")
    (tmp_path / "10").mkdir()
    (tmp_path / "10" / "status").write_text("Name:\tvllm\nTracerPid:\t0\n")
    engine, server, gone = (ProcessRef(pid, 1, "engine_core", "VLLM::EngineCore") for pid in (8, 10, 11))
    assert find_traced((server, engine), tmp_path) == "gdb -p 8 (pid 9) debugs VLLM::EngineCore (pid 8)"
    assert find_traced((server, gone), tmp_path) == ""


def test_sees_a_tracer_that_attaches_and_goes() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert tracer_of(child.pid) == 0
            if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, child.pid, None, None) != 0:
                pytest.skip("this host lets nobody trace")
            assert tracer_of(child.pid) == os.getpid()
        finally:
            child.kill()
    assert tracer_of(child.pid) == 0


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("vllm serve /models/llama --port 8000", "/models/llama"),
        ("/opt/bin/vllm serve --port 8000 --model /models/llama", "/models/llama"),
        ("python3 -m vllm.entrypoints.openai.api_server --model=/models/llama --port 8000", "/models/llama"),
        ("vllm serve --config /etc/vllm.yml", ""),
        ("vllm serve", ""),
        ("vllm serve --model", ""),
        ("python3 -m http.server --model /x", ""),
        ("", ""),
    ],
)
def test_reads_the_model_of_a_server(line: str, model: str) -> None:
    assert model_of(tuple(line.split())) == model
