"""Ranks of a real vLLM: roles and sizes, a worker that is slowed down is named, and how each process ends.

Each server runs alone, without the stack: what is tested is the exporter.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import httpio
from tests.e2e.harness.load import Load
from tests.e2e.harness.processes import Part, descendants, tail
from tests.e2e.harness.vllm_server import VllmServer
from tests.e2e.harness.waiting import never, until
from tests.ports import free_port
from vllm_exporter.app import collector_names
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.facts.events import ProcessExited
from vllm_exporter.facts.facts import Trees, VllmProcess
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.processes.collector import ProcessesCollector

pytestmark = pytest.mark.timeout(600)

NEEDED = ("processes", "probe", "distributed")
NAMED_WITHIN = 60.0  # seconds
STOPPED, RUNNING = 0.4, 0.6  # seconds of each burst


TENSOR = frozenset({("api_server", ""), ("engine_core", ""), ("worker", "TP0"), ("worker", "TP1")})
DATA = frozenset(
    {
        ("api_server", ""),
        ("api_server", "0"),
        ("api_server", "1"),
        ("coordinator", ""),
        ("engine_core", "DP0"),
        ("engine_core", "DP1"),
        ("worker", "DP0"),
        ("worker", "DP1"),
    }
)


@dataclass(frozen=True)
class Kind:
    """A kind of parallelism: how it is asked for, the second worker's rank, and all roles and ranks."""

    name: str
    argument: str
    rank: str
    processes: frozenset[tuple[str, str]]


KINDS = (
    pytest.param(Kind("tensor", "--tensor-parallel-size", "TP1", TENSOR), id="tensor", marks=pytest.mark.e2e),
    pytest.param(Kind("data", "--data-parallel-size", "DP1", DATA), id="data", marks=pytest.mark.chaos),
)


@dataclass(frozen=True)
class Ranks:
    """A server with two ranks, an exporter that watches it, and a collector of processes whose events can be seen."""

    kind: Kind
    server: VllmServer
    vllm: Part
    exporter: int  # port
    collector: ProcessesCollector

    def processes(self) -> list[VllmProcess]:
        list(self.collector.collect())
        posted = self.collector.context.board.latest(Trees)
        return [one for one in posted.processes.values() if one.server == name_of(self.server)] if posted else []

    def series(self, family: str) -> dict[str, float]:
        """Labels as text to value."""
        text = httpio.get_text(f"http://127.0.0.1:{self.exporter}/metrics")
        found = re.findall(rf"^{family}{{(.*)}} (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    def stragglers(self) -> dict[str, float]:
        """Rank to 0 or 1."""
        return {_label(labels, "rank"): value for labels, value in self.series("vllm_rank_straggler").items()}

    def worker(self) -> int:
        """Process id of the second rank's worker: its own title says so, or that of the engine above it."""
        tree = descendants(self.vllm.pid)
        for stat in tree:
            ranks = f"{_title(stat.pid)}_{_title(stat.parent)}".split("_")
            if _title(stat.pid).startswith("VLLM::Worker") and self.kind.rank in ranks:
                return stat.pid
        raise AssertionError(f"no worker {self.kind.rank} among {[_title(one.pid) for one in tree]}")


@pytest.fixture(scope="module", params=KINDS)
def ranks(request: pytest.FixtureRequest, script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """One server for both tests of a kind; the second ends it."""
    kind: Kind = request.param
    tmp_path = tmp_path_factory.mktemp(kind.name)
    server = VllmServer(script, free_port(), (kind.argument, "2", "--max-num-seqs", "8"))
    env = {**os.environ, "HOST": "127.0.0.1", "PORT": str(server.port), "VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    vllm = Part("vllm", ["/bin/bash", str(script), "serve", *server.args], tmp_path / "vllm.log", env, tmp_path)
    port = free_port()
    exporter = Part("exporter", exporter_command(tmp_path, port, server.port), tmp_path / "exporter.log", env, tmp_path)
    target = TargetConfig(name_of(server), name_of(server))
    collector = ProcessesCollector(Context(Config(targets=(target,), state_dir=str(tmp_path / "processes"))))
    vllm.start()
    exporter.start()
    try:
        server.wait_ready(480)
        yield Ranks(kind, server, vllm, port, collector)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{tail(vllm.log)}{tail(exporter.log)}") from error
    finally:
        exporter.stop()
        vllm.stop()
        collector.close()


def name_of(server: VllmServer) -> str:
    return f"127.0.0.1:{server.port}"


def exporter_command(folder: Path, port: int, target: int) -> list[str]:
    """Only with the collectors that are needed."""
    off = "".join(f"  {name}: false\n" for name in collector_names() if name not in NEEDED)
    config = folder / "exporter.yml"
    config.write_text(f"targets: [127.0.0.1:{target}]\nstate_dir: {folder / 'state'}\ncollectors:\n{off}")
    serve = ["-m", "vllm_exporter.cli", "serve", "--config", str(config), "--listen", f"127.0.0.1:{port}"]
    return [sys.executable, *serve]


def test_a_worker_slowed_by_stops_is_named_within_a_minute_and_nobody_before(ranks: Ranks) -> None:
    size = until("two ranks", lambda: sizes(ranks).get(ranks.kind.name) == 2, 30)
    assert size
    with Load(ranks.server.port, clients=4, seconds=300):
        until("a verdict on both ranks", lambda: len(ranks.stragglers()) == 2, 60)
        never("a rank is named that nobody slows", lambda: any(ranks.stragglers().values()), 10)
        with Bursts(ranks.worker()):
            until("the slowed rank", lambda: ranks.stragglers().get(ranks.kind.rank) == 1, NAMED_WITHIN)
            named = {rank for rank, value in ranks.stragglers().items() if value}
            assert named == {ranks.kind.rank}
            reasons = ranks.series("vllm_rank_straggler_info")
            assert [_label(labels, "reason") for labels in reasons] == ["stopped"]


def test_every_process_has_its_role_and_rank_and_its_end_a_cause(ranks: Ranks) -> None:
    found = {(one.role, one.rank) for one in until("the tree", ranks.processes, 10)}
    assert found == ranks.kind.processes
    assert not [one for one in ranks.processes() if one.orphan]
    subscription, ends = ranks.collector.context.bus.subscribe(), dict[str, ProcessExited]()
    worker = next(one for one in ranks.processes() if one.role == "worker" and one.rank.endswith("1"))
    with suppress(ProcessLookupError):
        os.kill(worker.ref.pid, signal.SIGKILL)

    def all_ended() -> bool:
        ranks.processes()
        for event in subscription.drain():
            if isinstance(event, ProcessExited):
                ends.setdefault(f"{event.role} {event.rank}".strip(), event)
        return len(ends) == len(ranks.kind.processes)

    until("the end of all processes", all_ended, 60)
    killed = ends[f"worker {worker.rank}"]
    assert (killed.cause, killed.code) == ("sigkill", -9)
    assert killed.time == min(event.time for event in ends.values())
    assert ends["api_server"].cause in ("clean", "error")


class Bursts:
    """Stops a process and lets it go on, again and again."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            os.kill(self._pid, signal.SIGSTOP)
            self._end.wait(STOPPED)
            os.kill(self._pid, signal.SIGCONT)
            self._end.wait(RUNNING)


def sizes(ranks: Ranks) -> dict[str, float]:
    return {_label(labels, "kind"): value for labels, value in ranks.series("vllm_parallel_size").items()}


def _label(labels: str, name: str) -> str:
    found = re.search(rf'(?:^|,){name}="([^"]*)"', labels)
    assert found is not None, labels
    return found[1]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode(errors="replace")
    except OSError:
        return ""
