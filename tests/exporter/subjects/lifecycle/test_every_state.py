"""Each of the 42 states is reached: from log text that vLLM prints, or from what processes, probes and GPUs show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exporter.subjects.lifecycle.telling import (
    AFTER,
    BARE,
    GONE,
    REFUSED,
    SERVER,
    Server,
    marks,
    sight,
    tree,
    values,
)
from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.subjects.lifecycle.evidence import Evidence, Processes
from vllm_exporter.subjects.lifecycle.states import NAMES, ORDER


def lines(fixtures: Path, name: str) -> list[str]:
    return (fixtures / "lifecycle" / name).read_text(encoding="utf-8").splitlines()


def told(server: Server, text: list[str], processes: Processes, health: ServerSight) -> list[str]:
    """The states that the lines lead through, a second after each other."""
    first = len(server.made)
    for mark in marks(text):
        server.look(mark, processes=processes, sight=health)
    return [one.new for one in server.made[first:]]


def test_a_start_on_a_cpu_by_its_log(fixtures: Path) -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    assert told(server, lines(fixtures, "start_cpu.log"), BARE, REFUSED) == [
        "spawned", "args_parsed", "config_resolving", "config_resolved", "engine_spawned", "executor_spawn",
        "dist_init", "ranks_assigned", "model_init", "weights_loading", "weights_loaded", "kv_sized", "engine_ready",
        "frontend_init", "listening",
    ]  # fmt: skip
    assert not server.machine.history.illegal


def test_a_start_on_two_gpus_by_its_log(fixtures: Path) -> None:
    """With lines that only a GPU has, and one worker always behind the other."""
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    assert told(server, lines(fixtures, "start_gpu_tp2.log"), BARE, REFUSED) == [
        "spawned", "args_parsed", "config_resolved", "engine_spawned", "executor_spawn", "dist_init",
        "ranks_assigned", "model_init", "weights_download", "weights_loading", "weights_loaded", "compiling",
        "profiling", "kv_sized", "graph_capture", "engine_ready", "frontend_init", "listening",
    ]  # fmt: skip
    assert not server.machine.history.illegal


def test_pause_sleep_and_drain_by_the_log(fixtures: Path) -> None:
    server = Server().started()
    kept = sight(sleeping=None)
    path = told(server, lines(fixtures, "pause_sleep_drain.log"), tree(), kept)
    assert path == ["paused", "idle", "paused", "sleeping", "waking", "stopping", "draining"]
    server.look(processes=GONE, sight=REFUSED)
    assert server.path()[-1] == "exited"
    assert not server.machine.history.illegal


def spawned() -> Server:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    server.look(processes=BARE, sight=REFUSED)
    return server


def absent(server: Server) -> str:
    return Server().look(processes=GONE, sight=REFUSED)


def preflight(server: Server) -> str:
    fresh = Server()
    return fresh.look("preflight", processes=GONE, sight=REFUSED)


def port_bound(server: Server) -> str:
    return spawned().look(processes=BARE, sight=REFUSED, bound=True)


def listening(server: Server) -> str:
    return spawned().look(processes=tree(), sight=sight(canary_ok=None))


def ready_verified(server: Server) -> str:
    fresh = spawned()
    fresh.look(processes=tree(), sight=sight(canary_ok=None))
    return fresh.look(processes=tree(), sight=sight())


def serving(server: Server) -> str:
    busy = sight(values=values(running=2))
    server.look(processes=tree(), sight=busy)
    return server.look(processes=tree(), sight=busy)


def saturated(server: Server) -> str:
    busy = sight(values=values(running=2, waiting=1))
    return [server.look(processes=tree(), sight=busy) for _ in range(3)][-1]


def thrashing(server: Server) -> str:
    server.look(processes=tree(), sight=sight(values=values(running=2, waiting=3)))
    return server.look(processes=tree(), sight=sight(values=values(running=2, waiting=3, preemptions=6)))


def suspect(server: Server) -> str:
    return server.look(processes=tree(), sight=sight(work=True, progress_age=12.0))


def stalled(server: Server) -> str:
    return server.look(processes=tree(), sight=sight(work=True, progress_age=31.0, stalled=True))


def paused(server: Server) -> str:
    return server.look(processes=tree(), sight=sight(paused=True))


def sleeping(server: Server) -> str:
    return server.look(processes=tree(), sight=sight(sleeping=True))


def waking(server: Server) -> str:
    sleeping(server)
    return server.look(processes=tree(), sight=sight(sleeping=False))


def ft_recovery(server: Server) -> str:
    text = ["(EngineCore_DP0 pid=110) WARNING 11-21 10:00:00 [engine_core_sentinel.py:83] [FT] Busy loop raised "
            "RuntimeError. Waiting for recovery."]  # fmt: skip
    return told(server, text, tree(), sight(sleeping=None))[-1]


def aborting(server: Server) -> str:
    text = [
        "(APIServer pid=100) INFO 11-21 10:00:00 [launcher.py:254] [shutdown] API server: shutdown triggered",
        "(EngineCore pid=110) INFO 11-21 10:00:00 [core.py:1635] [shutdown] EngineCore: start mode=abort timeout=0s",
    ]
    return told(server, text, tree(), sight())[-1]


def engine_dead(server: Server) -> str:
    text = ["(EngineCore pid=110) ERROR 11-21 10:00:00 [core.py:1512] EngineCore encountered a fatal error."]
    return told(server, text, tree(), sight("503"))[-1]


def stopping(server: Server) -> str:
    return server.look(processes=tree(engines=frozenset()), sight=REFUSED)


def exited(server: Server) -> str:
    return server.look(processes=GONE, sight=REFUSED)


def orphaned(server: Server) -> str:
    return server.look(processes=Processes(orphans=2), sight=REFUSED)


def start_failed(server: Server) -> str:
    return spawned().look(processes=GONE, sight=REFUSED)


def crash_loop(server: Server) -> str:
    fresh = Server()
    fresh.look(processes=GONE, sight=REFUSED)
    for number in range(3):
        fresh.look(processes=replace(BARE, api=(SERVER._replace(start=number),)), sight=REFUSED)
        fresh.look(processes=GONE, sight=REFUSED)
    return fresh.machine.state


def quarantined(server: Server) -> str:
    lost = frozenset({"GPU 3 lost"})
    assert server.look(processes=tree(), sight=sight(), faults=lost) == "idle"  # it still works
    return server.look(processes=tree(), sight=sight("503"), faults=lost)


BY_FACTS: dict[str, Callable[[Server], str]] = {
    reach.__name__: reach
    for reach in (
        absent, preflight, port_bound, listening, ready_verified, serving, saturated, thrashing, suspect, stalled,
        paused, sleeping, waking, ft_recovery, aborting, engine_dead, stopping, exited, orphaned, start_failed,
        crash_loop, quarantined,
    )
}  # fmt: skip
BY_LOG = ("spawned", "args_parsed", "config_resolving", "config_resolved", "engine_spawned", "executor_spawn",
          "dist_init", "ranks_assigned", "model_init", "weights_download", "weights_loading", "weights_loaded",
          "compiling", "profiling", "kv_sized", "graph_capture", "engine_ready", "frontend_init", "idle",
          "draining")  # fmt: skip


@pytest.mark.parametrize("state", BY_FACTS)
def test_is_reached(state: str) -> None:
    server = Server().started()
    assert BY_FACTS[state](server) == state
    assert not server.machine.history.illegal


def test_no_state_is_left_out() -> None:
    assert sorted((*BY_FACTS, *BY_LOG), key=ORDER.__getitem__) == list(NAMES)


def test_a_dead_engine_is_known_without_a_log_by_its_missing_process() -> None:
    server = Server().started()
    assert server.look(processes=tree(engines=frozenset()), sight=sight()) == "idle"
    assert server.look(after=2, processes=tree(engines=frozenset()), sight=sight()) == "engine_dead"


def test_an_engine_that_is_missed_once_is_not_dead() -> None:
    server = Server().started()
    server.look(processes=tree(engines=frozenset()), sight=sight())
    server.look(processes=tree(), sight=sight())
    assert server.look(processes=tree(engines=frozenset()), sight=sight()) == "idle"


def test_a_quarantined_server_that_is_down_stays_so_until_it_starts_again() -> None:
    server = Server().started()
    quarantined(server)
    assert server.look(processes=GONE, sight=REFUSED, faults=frozenset({"XID 79"})) == "quarantined"
    assert server.look(processes=replace(BARE, api=(AFTER,)), sight=REFUSED) == "spawned"


def test_a_fold_of_nothing_changes_nothing() -> None:
    server = Server().started()
    assert server.machine.fold(Evidence(server.now + 1)) == []
