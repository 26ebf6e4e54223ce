"""Who is an orphan, and above all who is not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from vllm_healer.actuators.orphans import choose_orphans
from vllm_healer.actuators.processes import Process, Snapshot
from vllm_healer.model import ProcessRef

KEY = "boot-a/10/100"
SERVER = ProcessRef(10, 100, "api_server", "vllm serve model")
ENGINE = ProcessRef(11, 110, "engine_core", "VLLM::EngineCore")
WORKER = ProcessRef(12, 120, "worker", "VLLM::Worker")
TRACKER = ProcessRef(13, 130, "helper", "python3 -c resource_tracker")
TREES = {KEY: (SERVER, ENGINE, WORKER, TRACKER)}

INIT = Process(1, 0, 1, "S", "systemd", ("/sbin/init",))
SUPERVISORD = Process(5, 1, 50, "S", "supervisord", ("python3", "/usr/bin/supervisord"))


def process(ref: ProcessRef, parent: int, state: str = "S") -> Process:
    return Process(ref.pid, parent, ref.start_ticks, state, "comm", (ref.title,))


def orphans(
    *processes: Process, trees: Mapping[str, tuple[ProcessRef, ...]] = TREES, current: frozenset[int] = frozenset()
) -> tuple[ProcessRef, ...]:
    snapshot = Snapshot("boot-a", 5000.0, {p.pid: p for p in (INIT, SUPERVISORD, *processes)})
    return choose_orphans(snapshot, trees, current, supervisor=5)


def test_engine_and_worker_are_orphans_once_their_server_is_gone() -> None:
    assert orphans(process(ENGINE, 1), process(WORKER, 11), process(TRACKER, 1)) == (ENGINE, WORKER)


def test_those_that_supervisord_took_in_as_pid_one_of_a_container_are_orphans() -> None:
    assert orphans(process(ENGINE, 5)) == (ENGINE,)


def test_an_engine_recorded_before_it_had_its_title_is_one() -> None:
    early = ProcessRef(11, 110, "helper", "python3 -c from multiprocessing.spawn import spawn_main")
    assert orphans(process(ENGINE, 1), trees={KEY: (SERVER, early)}) == (early,)


def test_nobody_is_while_the_server_lives_even_with_parent_one() -> None:
    assert orphans(process(SERVER, 5), process(ENGINE, 1)) == ()


def test_nobody_is_while_another_api_server_of_the_tree_lives() -> None:
    second = ProcessRef(14, 140, "api_server", "VLLM::APIServer_1")
    trees = {KEY: (SERVER, second, ENGINE)}
    assert orphans(process(second, 1), process(ENGINE, 1), trees=trees) == ()


def test_a_zombie_server_counts_as_gone_and_a_zombie_engine_too() -> None:
    assert orphans(process(SERVER, 5, state="Z"), process(ENGINE, 1), process(WORKER, 1, state="Z")) == (ENGINE,)


def test_a_later_process_of_the_same_pid_is_not() -> None:
    assert orphans(Process(11, 1, 111, "S", "comm", ("VLLM::EngineCore",))) == ()


def test_one_that_was_never_recorded_is_not_whatever_its_title() -> None:
    assert orphans(process(ENGINE, 1), trees={}) == ()


def test_a_tree_of_another_boot_names_nobody() -> None:
    assert orphans(process(ENGINE, 1), trees={"boot-b/10/100": TREES[KEY]}) == ()


def test_one_of_the_tree_that_runs_now_is_not() -> None:
    assert orphans(process(ENGINE, 1), current=frozenset({11})) == ()


@pytest.mark.parametrize(
    "owner",
    [
        Process(30, 1, 300, "S", "vllm", ("/venv/bin/python", "/venv/bin/vllm", "serve", "m")),
        Process(30, 1, 300, "S", "ray::Actor", ("ray::Actor",)),
        Process(30, 1, 300, "S", "python3", ("python3", "offline.py")),
        Process(30, 1, 300, "S", "mystery", ("/opt/mystery",)),
    ],
    ids=["a vLLM server", "a Ray actor", "a Python program", "an unknown program"],
)
def test_one_that_another_program_owns_is_not(owner: Process) -> None:
    assert orphans(owner, process(ENGINE, 30), process(WORKER, 11)) == ()


@pytest.mark.parametrize(
    "argv", [("/venv/bin/python", "/venv/bin/vllm", "serve"), ("python3", "main.py"), ("ray::Actor",)]
)
def test_one_below_a_pid_one_that_may_own_it_is_not(argv: tuple[str, ...]) -> None:
    snapshot = Snapshot("boot-a", 5000.0, {1: Process(1, 0, 1, "S", "main", argv), 11: process(ENGINE, 1)})
    assert choose_orphans(snapshot, TREES, frozenset(), supervisor=5) == ()


def test_one_whose_parent_cannot_be_seen_is_not() -> None:
    assert orphans(process(ENGINE, 0)) == ()
