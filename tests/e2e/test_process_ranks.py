"""Roles and ranks of a real vLLM's processes, and how they end. Each server runs alone, without the stack."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness.processes import Part, tail
from tests.e2e.harness.vllm_server import VllmServer
from tests.e2e.harness.waiting import until
from tests.ports import free_port
from vllm_exporter.collector import Context
from vllm_exporter.collectors.processes import ProcessesCollector
from vllm_exporter.config import Config, TargetConfig
from vllm_exporter.events import Event
from vllm_exporter.facts import Trees, VllmProcess

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TENSOR = {
    ("api_server", ""),
    ("engine_core", ""),
    ("worker", "TP0"),
    ("worker", "TP1"),
}
DATA = {
    ("api_server", ""),
    ("api_server", "0"),
    ("api_server", "1"),
    ("coordinator", ""),
    ("engine_core", "DP0"),
    ("engine_core", "DP1"),
    ("worker", "DP0"),
    ("worker", "DP1"),
}


@dataclass(frozen=True)
class Watched:
    """A server with two ranks and the collector that watches it."""

    name: str
    collector: ProcessesCollector
    expected: set[tuple[str, str]]

    def processes(self) -> list[VllmProcess]:
        list(self.collector.collect())
        posted = self.collector.context.board.latest(Trees)
        return [one for one in posted.processes.values() if one.server == self.name] if posted else []


@pytest.fixture(params=[("tensor", TENSOR), ("data", DATA)], ids=lambda param: param[0])
def watched(request: pytest.FixtureRequest, script: Path, tmp_path: Path) -> Iterator[Watched]:
    kind, expected = request.param
    server = VllmServer(script, free_port(), (f"--{kind}-parallel-size", "2", "--max-num-seqs", "8"))
    env = {**os.environ, "HOST": "127.0.0.1", "PORT": str(server.port), "VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    vllm = Part("vllm", ["/bin/bash", str(script), "serve", *server.args], tmp_path / "vllm.log", env, tmp_path)
    name = f"127.0.0.1:{server.port}"
    config = Config(targets=(TargetConfig(name, name),), state_dir=str(tmp_path / "state"))
    collector = ProcessesCollector(Context(config))
    vllm.start()
    try:
        server.wait_ready(480)
        yield Watched(name, collector, expected)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{tail(vllm.log)}") from error
    finally:
        vllm.stop()
        collector.close()


def test_every_process_has_its_role_and_rank_and_its_end_a_cause(watched: Watched) -> None:
    found = {(one.role, one.rank) for one in until("the tree", watched.processes, 10)}
    assert found == watched.expected
    assert not [one for one in watched.processes() if one.orphan]
    tap, ends = watched.collector.context.bus.tap(), dict[str, Event]()
    worker = next(one for one in watched.processes() if one.role == "worker" and one.rank.endswith("1"))
    with suppress(ProcessLookupError):
        os.kill(worker.ref.pid, signal.SIGKILL)

    def all_ended() -> bool:
        watched.processes()
        for event in tap.drain():
            if event.kind == "exit":
                ends.setdefault(f"{event.fields['role']} {event.fields['rank']}".strip(), event)
        return len(ends) == len(watched.expected)

    until("the end of all processes", all_ended, 60)
    killed = ends[f"worker {worker.rank}"]
    assert (killed.fields["cause"], killed.fields["code"]) == ("sigkill", -9)
    assert killed.time == min(event.time for event in ends.values())
    assert ends["api_server"].fields["cause"] in ("clean", "error")
