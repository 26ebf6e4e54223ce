"""The memory lever: obeys between two steps where there is one, and says what it freed, nothing included."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vllm_monitor import memory_lever
from vllm_monitor.commands import Command, Mailbox, give
from vllm_monitor.memory_lever import Freed, MemoryLever, empty_cache, free_memory
from vllm_monitor.moments import Moment
from vllm_monitor.place import Role
from vllm_monitor.series import Series

TOKEN = b"word"
IDLE, BUSY, STARTS = Moment(True, True), Moment(True, False), Moment(False, False)


class World:
    """A lever whose process and clock are told what to do."""

    def __init__(self, folder: Path, role: Role = "engine_core") -> None:
        self.folder = folder
        self.time = 1_800_000_000.0
        self.moment = IDLE
        self.freed = Freed(100, 4096)
        self.devices: list[bool] = []  # whether each pull was to empty the caches of devices
        self.series = Series()
        mailbox = Mailbox(folder, "free-memory", TOKEN, 8000, lambda: self.time)
        self.lever = MemoryLever(self.series, mailbox, role, lambda: self.moment, self.free)

    def free(self, devices: bool) -> Freed:
        self.devices.append(devices)
        return self.freed

    def command(self) -> None:
        self.time += 1
        give(self.folder, "free-memory", Command(int(self.time * 1000), int(self.time * 1000) + 20_000), TOKEN)

    def round(self, seconds: float = 0.25) -> None:
        self.time += seconds
        list(self.lever(self.time))

    def shown(self, name: str) -> dict[str, float]:
        lines = self.series.directory().splitlines()
        return {
            " ".join(line.split("\t")[3:]): value
            for line, value in zip(lines, self.series.values, strict=True)
            if line.split("\t")[1] == name
        }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(memory_lever, "own_rank", lambda: "DP0")
    return World(tmp_path)


def test_nothing_happens_without_a_command(world: World) -> None:
    for _ in range(100):
        world.round()
    assert world.devices == []
    assert world.series.directory() == ""


def test_an_idle_engine_obeys_at_once_and_says_what_it_freed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.command()
    world.round()
    world.round()
    own = "role=engine_core rank=DP0"
    assert world.devices == [True]
    assert world.shown("vllm_memory_lever_freed_bytes_total") == {
        f"{own} memory=host": 100,
        f"{own} memory=device": 4096,
    }
    assert world.shown("vllm_memory_lever_pulls_total") == {f"{own} moment=idle": 1}
    assert world.shown("vllm_memory_lever_last_pull_timestamp_seconds") == {own: 1_800_000_001}
    assert "freed 100 bytes of the host's memory and 4096 of devices'" in caplog.text
    assert "while no step ran" in caplog.text


def test_zero_bytes_are_said_too(world: World) -> None:
    world.freed = Freed()
    world.command()
    world.round()
    own = "role=engine_core rank=DP0"
    assert world.shown("vllm_memory_lever_freed_bytes_total") == {f"{own} memory=host": 0, f"{own} memory=device": 0}


def test_a_busy_engine_obeys_at_the_end_of_its_step(world: World) -> None:
    world.moment = BUSY
    world.command()
    world.round()
    world.round()
    assert world.devices == []
    world.moment = IDLE
    world.round()
    assert world.devices == [True]


def test_an_engine_that_is_never_idle_obeys_after_five_seconds(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.moment = BUSY
    world.command()
    for _ in range(20):
        world.round()
    assert world.devices == []
    world.round()
    assert world.devices == [True]
    assert world.shown("vllm_memory_lever_pulls_total") == {"role=engine_core rank=DP0 moment=busy": 1}
    assert "during a step: none ended within 5 s" in caplog.text


def test_the_caches_of_devices_stay_while_a_process_starts(world: World) -> None:
    world.moment = STARTS
    world.command()
    for _ in range(21):
        world.round()
    assert world.devices == [False]


def test_an_api_server_obeys_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, "api_server")
    world.moment = STARTS
    world.command()
    world.round()
    assert world.devices == [False]
    assert world.shown("vllm_memory_lever_pulls_total") == {"role=api_server rank= moment=idle": 1}


def test_each_command_is_obeyed(world: World) -> None:
    for _ in range(3):
        world.command()
        world.round()
    assert world.shown("vllm_memory_lever_pulls_total") == {"role=engine_core rank=DP0 moment=idle": 3}


def test_a_failure_of_the_driver_is_said_and_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(devices: bool) -> Freed:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    world.lever._free = fail
    world.command()
    world.round()
    assert "memory could not be freed; the server is not affected" in caplog.text
    assert world.shown("vllm_memory_lever_pulls_total") == {"role=engine_core rank=DP0 moment=idle": 1}


class Accelerator:
    """As torch.cuda, with two devices of which this process uses the second."""

    def __init__(self, initialized: bool = True) -> None:
        self.initialized = initialized
        self.reserved = [0, 3 << 20]
        self.current = [0]
        self.emptied_on: list[int] = []

    def is_initialized(self) -> bool:
        return self.initialized

    def device_count(self) -> int:
        assert self.initialized
        return 2

    def memory_reserved(self, device: int) -> int:
        return self.reserved[device]

    def device(self, number: int) -> Any:
        current = self.current

        class Within:
            def __enter__(self) -> None:
                current.append(number)

            def __exit__(self, *_: object) -> None:
                current.pop()

        return Within()

    def empty_cache(self) -> None:
        self.emptied_on.append(self.current[-1])
        self.reserved[self.current[-1]] = 1 << 20


def test_a_cache_is_emptied_on_the_device_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """On each other device the driver would make a context for this process, of hundreds of MB."""
    cuda = Accelerator()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert free_memory(devices=True).device == 2 << 20
    assert cuda.emptied_on == [1]
    assert free_memory(devices=False).device == 0


def test_a_device_that_is_not_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Accelerator(initialized=False)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert (empty_cache("cuda"), empty_cache("xpu")) == (0, 0)
    assert cuda.emptied_on == []


def test_torch_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert free_memory(devices=True).device == 0
    assert "torch" not in sys.modules
