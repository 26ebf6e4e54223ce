"""A real healer that acts through a real supervisord, is killed at the worst moments, and goes on where it was.

Between the two stands the test: it passes on what the healer asks of supervisord, and so knows when to kill it.
"""

from __future__ import annotations

import base64
import http.client
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.patience import PATIENCE
from vllm_healer.actuators.supervisor_rpc import Supervisor
from vllm_healer.actuators.supervisord import Supervisord
from vllm_healer.model import IncidentState

pytestmark = pytest.mark.real

PROGRAMS = {"killed_acting": "false", "killed_verifying": "false", "stopped": "false"}


@pytest.fixture(scope="module")
def fleet(supervised: ModuleType, supervisord_path: str, free_port: Callable[[], int]) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="healer-") as folder:  # short: a socket's path has 107 bytes at most
        running = supervised.start_fleet(supervisord_path, Path(folder), free_port(), PROGRAMS)
        yield running
        running.end()


@dataclass
class Scene:
    """One server, its healer, and what the rest of the world says."""

    program: Any
    healer: Any
    world: Any
    stage: ModuleType

    def begin(self) -> None:
        """The server runs, and the healer has seen it ready."""
        self.program.start(Supervisord(lambda server: {}).observe)
        self.healer.start()
        self.wait_for(self.is_known, "the healer to have seen the server")

    def is_known(self) -> bool:
        with self.healer.journal() as journal:
            memory = journal.memory(self.program.target.server)
        return memory.seen_ready and bool(memory.trees)

    def is_over(self) -> bool:
        with self.healer.journal() as journal:
            counts = journal.incident_counts()
        return bool(counts[IncidentState.HEALED] == 1)

    def end_server(self) -> None:
        """All its processes at once, as when memory is short: nothing is left over to be removed first."""
        for process in self.program.processes().values():
            os.kill(process.pid, signal.SIGKILL)

    def tell(self, times: int = 1) -> None:
        """vLLM does not work, and Alertmanager says so."""
        down = self.stage.alert("VllmDown", self.program.target.server, healable="true")
        self.world.say_json("/health", {}, status=503)
        self.world.say_json("/api/v2/alerts", self.stage.active(down))
        for _ in range(times):
            assert self.healer.post("/alerts", self.stage.notification(down)).status_code == 200

    def wait_for_words(self, kind: str, words: str) -> None:
        self.wait_for(lambda: any(words in said for said in self.healer.sentences(kind)), f"{kind}: {words}")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        self.stage.wait_for(condition, what, lambda: (self.healer.sentences(), self.healer.log()[-3000:]))

    def let_it_look_again(self) -> None:
        """Another round of the worker, begun after this was called."""
        name = "vllm_healer_worker_last_tick_timestamp_seconds"
        before = self.healer.metric(name)
        self.wait_for(lambda: self.healer.metric(name) > before, "another round")


@pytest.fixture
def scene(
    request: pytest.FixtureRequest,
    fleet: Any,
    server: Any,
    stage: ModuleType,
    http: ModuleType,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> Iterator[Scene]:
    """Of the program that the test's parameter names."""
    program = fleet.programs[request.param]
    stage.prepare(server)
    server.hooks["/RPC2"] = lambda asked: http.Reply(200, ask_supervisord(fleet.port, asked.body))
    healer = stage.Healer(tmp_path, free_port(), main=stage.HURRIED)
    targets = stage.TARGET.format(server=program.target.server, world=server.url, program=program.name)
    healer.configure(server.url, mode="act", targets=targets)
    yield Scene(program, healer, server, stage)
    if healer.process is not None:
        healer.kill()


def ask_supervisord(port: int, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    password = base64.b64encode(b"healer:swordfish").decode()
    connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml", "Authorization": f"Basic {password}"})
    answer = connection.getresponse().read()
    connection.close()
    return answer


@pytest.mark.parametrize("scene", ["killed_acting"], indirect=True)
def test_killed_between_intent_and_result_it_has_restarted_the_server_once(
    scene: Scene, fleet: Any, http: ModuleType
) -> None:
    """It dies when supervisord has started the server and before it hears of it; the webhook came three times."""

    def start_and_die(asked: Any) -> Any:
        answer = ask_supervisord(fleet.port, asked.body)
        if b"startProcess" in asked.body:
            scene.healer.process.kill()
        return http.Reply(200, answer)

    scene.begin()
    scene.end_server()
    scene.world.hooks["/RPC2"] = start_and_die
    scene.tell(times=3)
    scene.wait_for(lambda: scene.healer.process.poll() is not None, "the healer to be killed")
    assert scene.healer.sentences("result") == []

    scene.world.say_json("/health", {})
    scene.healer.start()
    scene.wait_for_words("verdict", "recovered")
    scene.tell()
    scene.let_it_look_again()
    assert scene.program.starts() == 2
    assert len(scene.healer.sentences("intent")) == 1
    assert any("going on with action 1 (steps taken so far: start)" in said for said in scene.healer.sentences("note"))


@pytest.mark.parametrize("scene", ["killed_verifying"], indirect=True)
def test_killed_while_verifying_it_still_verifies_and_journals(scene: Scene) -> None:
    scene.begin()
    scene.end_server()
    scene.tell()
    scene.wait_for_words("result", "done")
    scene.healer.kill()
    assert scene.healer.sentences("verdict") == []

    scene.healer.start()
    scene.let_it_look_again()
    assert scene.healer.sentences("verdict") == []  # it does not answer yet
    scene.world.say_json("/health", {})
    scene.wait_for_words("verdict", "recovered")
    scene.wait_for(scene.is_over, "the incident to be closed")
    assert scene.program.starts() == 2
    assert len(scene.healer.sentences("intent")) == 1


@pytest.mark.parametrize("scene", ["stopped"], indirect=True)
def test_what_a_person_stopped_stays_stopped(scene: Scene) -> None:
    scene.begin()
    Supervisor(scene.program.target).stop()
    scene.end_server()
    scene.tell()
    scene.wait_for_words("refusal", "is stopped by a person")
    scene.let_it_look_again()
    assert scene.program.starts() == 1
    assert scene.healer.sentences("intent") == []
