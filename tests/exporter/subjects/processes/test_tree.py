"""Reading processes, from a /proc in a directory and from the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.exporter.fake_proc import FakeProc
from tests.patience import wait_for
from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.processes import tree as proc_tree
from vllm_exporter.subjects.processes.lineage import choose_orphans, remember
from vllm_exporter.subjects.processes.titles import UNREADABLE
from vllm_exporter.subjects.processes.tree import ProcTree


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


def test_finds_processes_with_their_titles(proc: FakeProc) -> None:
    proc.process(200, 1, "VLLM::Worker_TP1", threads=46, ticks=250, pages=1000)
    found = ProcTree(proc.root).scan()[200]
    assert (found.ref, found.ppid, found.title.role, found.title.rank) == (Ref(200, 2000), 1, "worker", "TP1")
    assert (found.threads, found.cpu_ticks, found.resident) == (46, 250, 1000 * os.sysconf("SC_PAGE_SIZE"))


def test_zombies_and_ended_processes_are_not_there(proc: FakeProc) -> None:
    proc.process(200, 1, "VLLM::EngineCore")
    proc.process(300, 200, "VLLM::Worker")
    tree = ProcTree(proc.root)
    assert set(tree.scan()) == {1, 200, 300}
    proc.process(200, 1, "VLLM::EngineCore", state="Z")
    proc.end(300)
    assert set(tree.scan()) == {1}


def test_reads_a_command_line_once(proc: FakeProc) -> None:
    proc.process(200, 1, "VLLM::EngineCore")
    tree = ProcTree(proc.root)
    tree.scan()
    (proc.root / "200/cmdline").unlink()
    proc.process(300, 200, "VLLM::Worker")
    assert tree.scan()[200].title.role == "engine_core"


def test_reads_it_again_when_the_process_renames_itself(proc: FakeProc) -> None:
    proc.process(200, 1, "python3 -c spawn_main")
    tree = ProcTree(proc.root)
    assert tree.scan()[200].title.role is None
    proc.process(200, 1, "VLLM::EngineCore")
    assert tree.scan()[200].title.role == "engine_core"


def test_an_id_that_was_given_to_another_process_is_read_anew(proc: FakeProc) -> None:
    proc.process(200, 1, "VLLM::EngineCore")
    tree = ProcTree(proc.root)
    tree.scan()
    proc.process(200, 1, "sleep 5", start=99999)
    found = tree.scan()[200]
    assert (found.ref, found.title.role) == (Ref(200, 99999), None)


def test_the_parents_asked_for_are_always_up_to_date(proc: FakeProc) -> None:
    proc.process(50, 1, "bash")
    tree = ProcTree(proc.root)
    for _ in range(proc_tree.YOUNG + 1):
        tree.scan()
    proc.process(50, 1, "bash", start=4242)
    assert tree.scan(also=[50])[50].ref == Ref(50, 4242)


def test_a_command_line_that_cannot_be_read_is_no_title_but_may_own_engines(proc: FakeProc) -> None:
    proc.process(50, 1, "secret")
    (proc.root / "50/cmdline").unlink()
    assert ProcTree(proc.root).scan()[50].title is UNREADABLE


def test_a_process_stuck_in_the_kernel_delays_one_scan_and_no_later_one(
    proc: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the command line blocks, here on a pipe that nobody writes to."""
    wait = 2.0  # so long that a busy machine is told from a scan that waits
    monkeypatch.setattr(proc_tree, "TITLE_DEADLINE", 0.1)
    monkeypatch.setattr(proc_tree, "TITLE_WAIT", wait)
    proc.process(200, 1, "VLLM::EngineCore")
    tree = ProcTree(proc.root)
    tree.scan()
    proc.process(300, 1, "VLLM::Worker")
    (proc.root / "300/cmdline").unlink()
    os.mkfifo(proc.root / "300/cmdline")
    assert tree.scan()[200].title.role == "engine_core"
    proc.process(400, 1, "VLLM::Worker")
    started = time.monotonic()
    found = tree.scan()
    assert time.monotonic() - started < wait
    assert (found[300].title, found[400].title.role) == (UNREADABLE, "worker")
    with open(proc.root / "300/cmdline", "wb", buffering=0):
        pass  # lets the abandoned thread end


def test_a_server_with_a_name_of_its_own_is_known_once_it_has_settled(proc: FakeProc) -> None:
    tree = ProcTree(proc.root)
    tree.scan()
    proc.process(200, 1, "/opt/bin/vllm serve m", comm="our-launcher")
    for _ in range(1 + proc_tree.SETTLED):
        found = tree.scan()
    assert found[200].title.role == "api_server"


def test_a_process_seen_between_its_fork_and_its_exec_is_read_once_more(proc: FakeProc) -> None:
    proc.process(100, 1, "python3 supervisor.py")
    tree = ProcTree(proc.root)
    tree.scan()
    proc.process(100, 1, "python3 -m vllm.entrypoints.openai.api_server --model m", comm="python3")
    for _ in range(proc_tree.SETTLED):
        found = tree.scan()
    assert found[100].title.role == "api_server"


def test_a_missing_proc_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be listed"):
        ProcTree(tmp_path / "nowhere").scan()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_sees_a_real_process_that_calls_itself_an_engine() -> None:
    process = subprocess.Popen(["bash", "-c", "exec -a VLLM::EngineCore_DP5 sleep 30"])
    try:
        tree = ProcTree(Path("/proc"))
        wait_for(lambda: tree.scan()[process.pid].title.role)
        wait_for(lambda: tree.scan()[process.pid].resident > 0)  # read again once it is known as vLLM's
        found = tree.scan()[process.pid]
        assert (found.title.role, found.title.rank, found.ppid) == ("engine_core", "DP5", os.getpid())
        assert found.resident > 0
    finally:
        process.kill()
        process.wait()
    assert process.pid not in tree.scan()


def test_a_real_engine_is_an_orphan_after_its_python_parent_was_killed() -> None:
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['VLLM::EngineCore', '30'], executable=sys.argv[1])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(30)\n"
    )
    sleep = shutil.which("sleep")
    assert sleep is not None
    parent = subprocess.Popen([sys.executable, "-c", program, sleep], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    engine = int(parent.stdout.readline())
    try:
        tree = ProcTree(Path("/proc"))
        living = tree.scan()
        records = remember({}, living, {})
        assert engine not in [orphan.ref.pid for orphan in choose_orphans(records, living)]
        parent.kill()
        parent.wait()
        living = tree.scan([record.parent.pid for record in records.values() if record.parent])
        after = choose_orphans(remember(records, living, {}), living)
        owner = living[living[engine].ppid].title.owner  # whoever adopts orphans on this machine
        assert (engine in [orphan.ref.pid for orphan in after]) == (not owner)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        os.kill(engine, 9)
