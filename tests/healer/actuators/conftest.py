"""One supervisord for all tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer.actuators.supervisord import Supervisord
from vllm_healer.model import ProcessRef

PROGRAMS = {
    "plain": "false",
    "restarted": "false",
    "autorestarted": "true",
    "wrapped": "false wrapped",
    "stubborn": "false stubborn",
    "frozen": "false",
    "stopped_whole": "false",
    "orphaned": "false",
    "reused": "false",
    "changed": "false",
    "exited": "false",
    "auto_exited": "true",
    "spoken_to": "false",
    **{f"crash_{number}": "true" for number in range(5)},
}


@pytest.fixture(scope="session")
def fleet(supervised: ModuleType, supervisord_path: str, free_port: Callable[[], int]) -> Iterator[object]:
    with tempfile.TemporaryDirectory(prefix="healer-") as folder:  # short: a socket's path has 107 bytes at most
        running = supervised.start_fleet(supervisord_path, Path(folder), free_port(), PROGRAMS)
        yield running
        running.end()


@pytest.fixture
def supervisord(fleet: ModuleType) -> Supervisord:
    """The actuator, with a memory that the tests fill through each program."""

    def remembered(server: str) -> Mapping[str, tuple[ProcessRef, ...]]:
        memories: dict[str, Mapping[str, tuple[ProcessRef, ...]]] = {
            program.target.server: program.remembered for program in fleet.programs.values()
        }
        return memories.get(server, {})

    return Supervisord(remembered, timeout=5.0)


@pytest.fixture
def engine(fake_docker: ModuleType) -> Iterator[object]:
    """A Docker engine with one running container."""
    with tempfile.TemporaryDirectory(prefix="docker-") as folder:  # short: a socket's path has 107 bytes at most
        engine = fake_docker.Engine(Path(folder) / "docker.sock")
        server = fake_docker.serve(engine)
        yield engine
        server.shutdown()
        server.server_close()
