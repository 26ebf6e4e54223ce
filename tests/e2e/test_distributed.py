"""Ranks of a real vLLM: sizes, and a worker that is slowed down is named.

Each server runs alone, without the stack: what is tested is the exporter's own /metrics.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NEEDED = ("processes", "probe", "distributed")
NAMED_WITHIN = 60.0  # seconds
STOPPED, RUNNING = 0.4, 0.6  # seconds of each burst


@dataclass(frozen=True)
class Kind:
    """A kind of parallelism: how it is asked for, and what the second worker's rank is called."""

    name: str
    argument: str
    rank: str


KINDS = (Kind("tensor", "--tensor-parallel-size", "TP1"), Kind("data", "--data-parallel-size", "DP1"))


@dataclass(frozen=True)
class Ranks:
    """A server with two ranks, and an exporter that watches it."""

    kind: Kind
    server: VllmServer
    vllm: Part
    exporter: int  # port

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


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def ranks(request: pytest.FixtureRequest, script: Path, tmp_path: Path) -> Iterator[Ranks]:
    kind: Kind = request.param
    server = VllmServer(script, free_port(), (kind.argument, "2", "--max-num-seqs", "8"))
    env = {**os.environ, "HOST": "127.0.0.1", "PORT": str(server.port), "VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    vllm = Part("vllm", ["/bin/bash", str(script), "serve", *server.args], tmp_path / "vllm.log", env, tmp_path)
    port = free_port()
    exporter = Part("exporter", exporter_command(tmp_path, port, server.port), tmp_path / "exporter.log", env, tmp_path)
    vllm.start()
    exporter.start()
    try:
        server.wait_ready(480)
        yield Ranks(kind, server, vllm, port)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{tail(vllm.log)}{tail(exporter.log)}") from error
    finally:
        exporter.stop()
        vllm.stop()


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
        never("a rank is named that nobody slows", lambda: any(ranks.stragglers().values()), 20)
        with Bursts(ranks.worker()):
            until("the slowed rank", lambda: ranks.stragglers().get(ranks.kind.rank) == 1, NAMED_WITHIN)
            named = {rank for rank, value in ranks.stragglers().items() if value}
            assert named == {ranks.kind.rank}
            reasons = ranks.series("vllm_rank_straggler_info")
            assert [_label(labels, "reason") for labels in reasons] == ["stopped"]


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
