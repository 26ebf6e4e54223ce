"""Orders on their way to the event loop, and how several processes share one."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.monitor.test_stats import counts
from vllm_monitor import place
from vllm_monitor.limits import Limit
from vllm_monitor.order_file import NAME, write_order
from vllm_monitor.orders import Orders
from vllm_monitor.peers import Peers
from vllm_monitor.series import Series
from vllm_monitor.snapshot import ProcessIdentity, SnapshotFile
from vllm_monitor.throttle import Throttle

ONE = (Limit(concurrency=4),)
OWN = ProcessIdentity.own()


class Scene:
    """The background thread's part, at a time that the test sets."""

    def __init__(self, folder: Path, port: int = 8000) -> None:
        self.folder = folder
        self.wall = 1_800_000_000.0
        self.now = 500.0
        self.throttle = Throttle()
        self.series = Series()
        self.orders = Orders(folder, port, Peers(folder, OWN, port), self.throttle, lambda: self.wall)

    def set(self, *limits: Limit, seconds: float = 60.0) -> None:
        write_order(self.folder, limits, seconds, 429, lambda: self.wall)

    def round(self) -> tuple[Limit, ...]:
        """The limits in force after it."""
        list(self.orders(self.now))
        task = self.throttle.in_force(self.now)
        return task.limits if task else ()

    def counts(self) -> dict[str, list[float]]:
        list(self.orders.counts_in(self.series, self.now))
        return counts(self.series)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_order_is_kept_until_its_time_is_over(scene: Scene) -> None:
    assert scene.round() == ()
    scene.set(*ONE)
    assert scene.round() == ONE
    scene.now += 59.9
    assert scene.round() == ONE
    scene.now += 0.2
    assert scene.round() == ()


def test_off_takes_it_back_and_so_does_removing_the_file(scene: Scene) -> None:
    scene.set(*ONE)
    assert scene.round() == ONE
    scene.set()
    assert scene.round() == ()
    scene.set(*ONE)
    assert scene.round() == ONE
    (scene.folder / NAME).unlink()
    assert scene.round() == ()


def test_a_clock_that_jumps_neither_ends_nor_prolongs_it(scene: Scene) -> None:
    scene.set(*ONE)
    assert scene.round() == ONE
    scene.wall += 1e6
    assert scene.round() == ONE
    scene.wall -= 2e6
    scene.now += 61
    assert scene.round() == ()


def test_no_order_is_kept_for_more_than_a_day(scene: Scene) -> None:
    scene.set(*ONE, seconds=1e8)
    assert scene.round() == ONE
    scene.now += 86_401
    assert scene.round() == ()


def test_an_order_that_was_over_before_the_process_began_is_not_kept(scene: Scene) -> None:
    scene.set(*ONE)
    scene.wall += 61
    assert scene.round() == ()


def test_a_limit_for_another_port_is_for_another_server(scene: Scene) -> None:
    here, there = Limit(concurrency=1, port=8000), Limit(concurrency=2, port=8001)
    scene.set(here, there)
    assert scene.round() == (here,)
    scene.set(there)
    assert scene.round() == ()


def test_a_broken_file_throttles_nobody_and_is_said_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.set(*ONE)
    assert scene.round() == ONE
    (scene.folder / NAME).write_text("{")
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            assert scene.round() == ()
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        f"vllm_monitor: {scene.folder}/{NAME} throttles nobody: it is no JSON"
    ]
    assert scene.counts()["vllm_throttle_file_unusable"] == [1]
    scene.set(*ONE)
    assert scene.round() == ONE
    assert scene.counts()["vllm_throttle_file_unusable"] == [0]


def test_what_is_in_force_and_refused_is_counted(scene: Scene) -> None:
    scene.set(*ONE)
    scene.round()
    scene.throttle.refused["requests"] = 3
    found = scene.counts()
    assert found["vllm_throttle_processes"] == [1]
    assert found["vllm_throttle_generation"] == [1_800_000_000_000]
    assert found["vllm_throttle_refusals_total reason=requests"] == [3]
    scene.now += 61
    assert scene.counts()["vllm_throttle_processes"] == [0]


def test_the_same_order_is_the_same_task(scene: Scene) -> None:
    """Else the loop would count anew at each round."""
    scene.set(*ONE)
    scene.round()
    task = scene.throttle.task
    scene.now += 1
    scene.round()
    assert scene.throttle.task is task


def be_peer(folder: str, port: int, name: str, ready: object, end: object) -> None:
    identity = ProcessIdentity.own()
    file = SnapshotFile(Path(folder) / place.file_name(identity), identity, port)
    series = Series()
    series.place("max", name)
    file.describe(series.directory())
    file.write(series.values)
    ready.set()  # type: ignore[attr-defined]
    end.wait(30)  # type: ignore[attr-defined]


@contextmanager
def peer(folder: Path, port: int = 8000, name: str = "vllm_throttle_generation") -> Iterator[None]:
    """Another process of the server."""
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=be_peer, args=(str(folder), port, name, ready, end))
    process.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        end.set()
        process.join()


def shared(scene: Scene) -> tuple[int, int]:
    scene.round()
    task = scene.throttle.task
    assert task is not None
    return task.place, task.of


def test_another_process_takes_its_share_until_it_ends(scene: Scene) -> None:
    scene.set(*ONE)
    assert shared(scene) == (0, 1)
    with peer(scene.folder):
        place_, of = shared(scene)
        assert of == 2
        assert place_ in (0, 1)
    assert shared(scene) == (0, 1)  # its file is still there


@pytest.mark.parametrize(("port", "name"), [(8001, "vllm_throttle_generation"), (8000, "vllm_engine_steps_total")])
def test_other_servers_and_processes_without_the_middleware_take_none(scene: Scene, port: int, name: str) -> None:
    scene.set(*ONE)
    with peer(scene.folder, port, name):
        assert shared(scene) == (0, 1)


def test_what_strangers_put_there_is_no_process(scene: Scene) -> None:
    scene.set(*ONE)
    for name in ("1-1-1.snap", "x.snap", f"{OWN.pid}-{OWN.start}-{OWN.namespace}.snap", "notes"):
        (scene.folder / name).write_bytes(b"VLLMSNAP" + b"\xff" * 500)
    start = place.start_of("1")
    (scene.folder / f"1-{start}-{OWN.namespace}.snap").write_bytes(b"VLLMSNAP" + b"\xff" * 500)
    assert shared(scene) == (0, 1)
