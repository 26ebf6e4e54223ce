"""The collector of vLLM's processes on real ones: a simulated server, and a PID namespace."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.exporter.subjects.processes.test_collector import show
from tests.patience import wait_for
from tests.simulator.harness import Running, kill, serving
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.facts.events import Event, ProcessExited
from vllm_exporter.facts.facts import Trees, VllmProcess
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes.collector import ProcessesCollector

pytestmark = pytest.mark.real


@contextmanager
def collecting(tmp_path: Path, *addresses: str) -> Iterator[ProcessesCollector]:
    targets = tuple(TargetConfig(address, address) for address in addresses)
    collector = ProcessesCollector(Context(Config(targets=targets, state_dir=str(tmp_path / "state"))))
    yield collector
    collector.close()


def posted(collector: ProcessesCollector) -> dict[int, VllmProcess]:
    list(collector.collect())
    found = collector.context.board.latest(Trees)
    return dict(found.processes) if found else {}


def of_server(collector: ProcessesCollector, name: str) -> dict[str, VllmProcess]:
    """By role: other servers may run on this machine, those of other tests too."""
    return {one.role: one for one in posted(collector).values() if one.server == name}


def all_ended(
    collector: ProcessesCollector, ends: dict[str, ProcessExited], subscription: Callable[[], list[Event]], name: str
) -> bool:
    """Adds to `ends`, by role, what ended of that server since the last time."""
    list(collector.collect())
    ends.update({one.role: one for one in subscription() if isinstance(one, ProcessExited) and one.server == name})
    return ends.keys() == {"api_server", "engine_core", "worker"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, "--state", str(tmp_path / "sim")) as running:
        yield running


def test_sees_a_worker_killed_and_the_server_end_with_code_0(server: Running, tmp_path: Path) -> None:
    """Code 0 is what vLLM ends with after a fatal death of its engine."""
    name = f"localhost:{server.port}"
    with collecting(tmp_path, name) as collector:
        subscription = collector.context.bus.subscribe()
        wait_for(lambda: "worker" in of_server(collector, name))
        mine = of_server(collector, name)
        assert mine.keys() == {"api_server", "engine_core", "worker"}
        assert [mine[role].ref.pid for role in ("api_server", "engine_core", "worker")] == list(server.tree)
        assert show(collector, names.PROCESS_OPEN_FDS)[name, "api_server", ""] > 3
        by_role: dict[str, ProcessExited] = {}
        killed = time.time()
        kill(mine["worker"].ref.pid, signal.SIGKILL)
        wait_for(lambda: all_ended(collector, by_role, subscription.drain, name))
        assert (by_role["worker"].cause, by_role["worker"].code) == ("sigkill", -9)
        assert 0 <= by_role["worker"].time - killed < 1
        assert by_role["worker"].time <= by_role["api_server"].time
        assert (by_role["api_server"].cause, by_role["api_server"].code) == ("clean", 0)
        exits = show(collector, names.PROCESS_EXITS_TOTAL)
        assert exits[name, "worker", "sigkill"] == 1
        assert exits[name, "api_server", "clean"] == 1


def test_a_killed_api_server_leaves_an_orphan(server: Running, tmp_path: Path) -> None:
    name = f"localhost:{server.port}"
    with collecting(tmp_path, name) as collector:
        wait_for(lambda: len([one for one in posted(collector).values() if one.server == name]) == 3)
        kill(server.tree[0], signal.SIGKILL)
        server.process.wait()
        wait_for(lambda: show(collector, names.PROCESS_EXITS_TOTAL)[name, "api_server", "sigkill"] == 1)
        left = [one for one in posted(collector).values() if one.server == name and one.role == "engine_core"]
        if left and Path(f"/proc/{left[0].ppid}/comm").read_text().startswith("python"):
            pytest.skip("whoever adopts orphans on this machine is a Python program, which may own engines")
        wait_for(lambda: show(collector, names.PROCESS_ORPHANS)[name,] >= 1)


VLLM = """\
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        os.execv("/bin/sleep", ["VLLM::Worker_TP0", "60"])
    os.execv("/bin/sleep", ["VLLM::EngineCore", "60"])
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def test_what_vllm_adopts_as_process_1_of_a_pid_namespace_is_not_an_orphan(tmp_path: Path) -> None:
    (tmp_path / "vllm").write_text(VLLM)
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, str(tmp_path / "vllm"), "serve", "m"]
    if shutil.which("unshare") is None or subprocess.run([*command[:4], "true"], check=False).returncode:
        pytest.skip("needs unshare and the right to make a PID namespace")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with collecting(tmp_path) as collector:

            def below() -> dict[str, VllmProcess]:
                return tree_below(posted(collector), process.pid)

            wait_for(lambda: below().keys() == {"api_server", "engine_core", "worker"})
            assert not any(one.orphan for one in below().values())
            worker = below()["worker"]
            kill(below()["engine_core"].ref.pid, signal.SIGKILL)
            wait_for(lambda: worker.ref.pid in posted(collector) and "engine_core" not in below())
            adopted = posted(collector)[worker.ref.pid]
            assert (adopted.ppid, adopted.orphan) == (below()["api_server"].ref.pid, False)
    finally:
        process.kill()
        process.communicate()


def tree_below(processes: dict[int, VllmProcess], parent: int) -> dict[str, VllmProcess]:
    """By role: those whose line of parents leads to this one."""
    pids = {parent}
    while more := {pid for pid, one in processes.items() if one.ppid in pids} - pids:
        pids |= more
    return {processes[pid].role: processes[pid] for pid in pids if pid in processes}
