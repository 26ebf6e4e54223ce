"""The states of a life on a real vLLM: told by an exporter with the server's log, and by one without it.

Two servers run at the same time, because a start costs most of the time: one is put through what can happen to a
running server and is killed in the end, the other fails to start until it is a crash loop, and is drained after that.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import httpio
from tests.e2e.harness.load import Load
from tests.e2e.harness.processes import Part, Stat, descendants, end_session, in_session
from tests.e2e.harness.stack import run_directory
from tests.e2e.harness.vllm_server import CHECKOUT, START_TIMEOUT
from tests.e2e.harness.waiting import until
from tests.ports import free_port
from vllm_exporter.subjects.lifecycle.states import ORDER, STATES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SEEN = 30.0  # seconds until the exporters have told a state: two looks, or a stall limit of 4 s and its canary
STOPPED = 19  # SIGSTOP, and
GOES_ON = 18  # SIGCONT

_EXPORTER = """\
targets: [{targets}]
state_dir: {run}/{name}
cpu_budget: 0.2  # looks are four times as frequent as usual, and none may be left out
probe: {{canary_interval: 3, canary_timeout: 2, stall_seconds: 4, warmup_seconds: 1, warmup_stall_seconds: 6}}
collectors:
  lifecycle: {{interval: 0.5, quiet_seconds: 4, saturated_seconds: 1, suspect_seconds: 3, loop_starts: 2}}
  processes: {{interval: 0.5}}
  logs: {logs}
"""


class Vllm:
    """One server, started again and again on the same port, with one log."""

    def __init__(self, script: Path, run: Path, name: str) -> None:
        self.port = free_port()
        self.log = run / f"{name}.log"
        self.log.touch()
        self._script = script
        self._run = run
        self._part: Part | None = None
        self._sessions: list[int] = []

    @property
    def name(self) -> str:
        return f"{socket.gethostname()}:{self.port}"

    @property
    def pid(self) -> int:
        return self._part.pid if self._part else 0

    def start(self, *args: str) -> None:
        """With 9 blocks of KV cache, so that a few requests overflow it, and with what an engine's death leaves."""
        environment = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1",
        }
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        command = ["/bin/bash", str(self._script), "serve", "--num-gpu-blocks-override", "10", "--max-num-seqs", "16"]
        self._part = Part("vllm", [*command, *args], self.log, {**kept, **environment}, self._run)
        self._part.start()
        self._sessions.append(self._part.pid)

    def wait_ready(self) -> None:
        httpio.wait_ok(f"http://127.0.0.1:{self.port}/health", START_TIMEOUT)

    def wait_gone(self) -> None:
        assert self._part is not None
        part = self._part
        until("vLLM to end", lambda: not part.is_alive(), START_TIMEOUT)

    def post(self, path: str) -> None:
        assert httpio.post_json(f"http://127.0.0.1:{self.port}{path}", {})[0] == 200, path

    def child(self, title: bytes) -> Stat | None:
        found = [stat for stat in descendants(self.pid) if _title(stat.pid).startswith(title)]
        return found[0] if found else None

    def engine(self) -> int:
        return until("an engine core", lambda: self.child(b"VLLM::EngineCore"), START_TIMEOUT).pid

    def end_leftovers(self) -> None:
        for session in self._sessions:
            end_session(session)


@dataclass
class Exporter:
    """A real one; `reached` has all states it ever told of a server, however short they were."""

    part: Part
    url: str

    def reached(self, server: Vllm) -> set[str]:
        pairs = self._labels("vllm_lifecycle_transitions_total", server)
        return {name for pair in pairs for name in pair} | {self.state(server)}

    def illegal(self, server: Vllm) -> list[tuple[str, ...]]:
        return self._labels("vllm_lifecycle_illegal_transitions_total", server)

    def state(self, server: Vllm) -> str:
        """'' before it tells any."""
        start = f'vllm_lifecycle_state{{server="{server.name}",state="'
        lines = (line for line in self._lines() if line.startswith(start) and line.endswith(" 1"))
        return next((line.removeprefix(start).partition('"')[0] for line in lines), "")

    def wait(self, server: Vllm, state: str, seconds: float = SEEN) -> None:
        until(f"{state} (now {self.state(server)})", lambda: self.state(server) == state, seconds)

    def wait_reached(self, server: Vllm, state: str, seconds: float = SEEN) -> None:
        until(f"{state} to have been", lambda: state in self.reached(server), seconds)

    def wait_engine(self, server: Vllm) -> None:
        """Until it knows whose child the engine is: later its parentage could not be told any more."""
        line = f'vllm_processes{{server="{server.name}",role="engine_core"}} 1'
        until("the engine core to be known", lambda: line in self._lines(), SEEN)

    def _labels(self, family: str, server: Vllm) -> list[tuple[str, ...]]:
        start = f'{family}{{server="{server.name}",'
        return [tuple(re.findall(r'(?:from|to)="(\w+)"', line)) for line in self._lines() if line.startswith(start)]

    def _lines(self) -> list[str]:
        return httpio.get_text(f"{self.url}/metrics").splitlines()


@dataclass
class World:
    run: Path
    steady: Vllm
    failing: Vllm
    informed: Exporter  # reads the logs
    blind: Exporter  # does not


@pytest.fixture(scope="module")
def world(script: Path) -> Iterator[World]:
    run = run_directory()
    steady, failing = Vllm(script, run, "steady"), Vllm(script, run, "failing")
    sources = ", ".join(f"localhost:{server.port}={server.log}" for server in (steady, failing))
    informed = _exporter(run, "informed", (steady, failing), f"{{sources: [{sources}]}}")
    blind = _exporter(run, "blind", (steady, failing), "false")
    made = World(run, steady, failing, informed, blind)
    try:
        for exporter in (informed, blind):
            exporter.part.start()
        for exporter in (informed, blind):
            for server in (steady, failing):
                exporter.wait(server, "absent")
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(live, made), pool.submit(fail, made)]
            for one in done:
                one.result()
        yield made
    finally:
        for server in (steady, failing):
            server.end_leftovers()
        for exporter in (informed, blind):
            exporter.part.stop()


def live(world: World) -> None:
    """Everything that can happen to a running server, until its engine dies and somebody ends the rest."""
    server, informed, blind = world.steady, world.informed, world.blind
    server.start()
    server.wait_ready()
    for exporter in (informed, blind):
        exporter.wait(server, "idle")
    with Load(server.port, clients=8, seconds=30, prompt_tokens=40, max_tokens=600):
        for exporter in (informed, blind):
            for state in ("serving", "saturated", "thrashing"):
                exporter.wait_reached(server, state)
    informed.wait(server, "idle")
    server.post("/pause")
    informed.wait(server, "paused")
    blind.wait_reached(server, "paused")  # it asks when canaries fail
    server.post("/resume")
    informed.wait(server, "idle")
    server.post("/sleep?level=1")
    for exporter in (informed, blind):
        exporter.wait(server, "sleeping")
    server.post("/wake_up")
    for exporter in (informed, blind):
        exporter.wait_reached(server, "waking")
        exporter.wait(server, "idle")
    engine = server.engine()
    os.kill(engine, STOPPED)
    for exporter in (informed, blind):
        exporter.wait_reached(server, "stalled")
    os.kill(engine, GOES_ON)
    for exporter in (informed, blind):
        exporter.wait(server, "idle")
    os.kill(engine, 9)
    for exporter in (informed, blind):
        exporter.wait(server, "engine_dead")
    os.kill(server.pid, 15)
    for exporter in (informed, blind):
        exporter.wait(server, "exited")


def fail(world: World) -> None:
    """A start that cannot work, one whose API server is killed, and one that works and is drained."""
    server, informed, blind = world.failing, world.informed, world.blind
    server.start("--tensor-parallel-size", "3")  # the model has 2 heads
    server.wait_gone()
    for exporter in (informed, blind):
        exporter.wait(server, "start_failed")
    server.start()
    server.engine()
    for exporter in (informed, blind):
        exporter.wait_reached(server, "engine_spawned")
        exporter.wait_engine(server)
    session, api = server.pid, server.pid
    os.kill(api, 9)
    for exporter in (informed, blind):
        exporter.wait_reached(server, "orphaned")
    end_session(session)
    until("the left-over processes to end", lambda: not in_session(session), SEEN)
    for exporter in (informed, blind):
        exporter.wait(server, "crash_loop")
    server.start("--shutdown-timeout", "30")
    server.wait_ready()
    informed.wait(server, "idle")
    with Load(server.port, clients=4, seconds=60, prompt_tokens=40, max_tokens=900, once=True):
        informed.wait_reached(server, "serving")
        os.kill(server.pid, 15)
        informed.wait_reached(server, "draining")
    server.wait_gone()
    for exporter in (informed, blind):
        exporter.wait(server, "exited")


def test_reaches_every_state_that_a_cpu_can_show(world: World) -> None:
    wanted = {state.name for state in STATES if state.proof == "real vLLM"}
    reached = {
        state
        for exporter in (world.informed, world.blind)
        for server in (world.steady, world.failing)
        for state in exporter.reached(server)
    }
    assert sorted(wanted - reached, key=ORDER.__getitem__) == []


def test_nothing_happened_that_cannot(world: World) -> None:
    for exporter in (world.informed, world.blind):
        for server in (world.steady, world.failing):
            assert exporter.illegal(server) == []


def test_the_coarse_states_need_no_log(world: World) -> None:
    reached = world.blind.reached(world.steady) | world.blind.reached(world.failing)
    assert reached >= {
        "absent", "spawned", "engine_spawned", "executor_spawn", "listening", "ready_verified", "idle", "serving",
        "saturated", "suspect", "stalled", "paused", "sleeping", "waking", "engine_dead", "exited", "orphaned",
        "start_failed", "crash_loop",
    }  # fmt: skip


def test_the_parts_of_a_start_add_up(world: World) -> None:
    start = f'vllm_lifecycle_phase_seconds{{server="{world.steady.name}",phase="'
    lines = [line for line in httpio.get_text(f"{world.informed.url}/metrics").splitlines() if line.startswith(start)]
    phases = {line.removeprefix(start).partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}
    total = phases.pop("total")
    phases.pop("listening")
    assert 5 < total < START_TIMEOUT
    assert abs(sum(phases.values()) - total) < 0.5


def _exporter(run: Path, name: str, servers: tuple[Vllm, ...], logs: str) -> Exporter:
    port = free_port()
    config = run / f"{name}.yml"
    targets = ", ".join(f"localhost:{server.port}" for server in servers)
    config.write_text(_EXPORTER.format(targets=f'"{targets}"'.replace(", ", '", "'), run=run, name=name, logs=logs))
    program = str(Path(sys.executable).with_name("vllm-exporter"))
    command = [program, "serve", "--config", str(config), "--listen", f"127.0.0.1:{port}"]
    return Exporter(Part(name, command, run / f"{name}.out", dict(os.environ), CHECKOUT), f"http://127.0.0.1:{port}")


def _title(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
