"""Restart engine: what it plans and does; with a real supervisord and Docker's API it is tested in actuators/."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.errors import Superseded
from vllm_healer.model import NO_INCARNATION, Diagnosis, Outcome, ProcessRef, Result, RunState
from vllm_healer.proof import Evidence
from vllm_healer.remediations.restart_engine import RestartEngine


def test_names_the_process_it_was_decided_on(cases: ModuleType) -> None:
    diagnosis = Diagnosis("engine_stalled", "no engine value changed for 45 s")
    plan = RestartEngine().plan(cases.incident(), diagnosis, cases.facts())
    assert plan.remediation == "restart_engine"
    assert plan.incarnation == "boot-a/4711/99000"
    assert plan.reason == "restart the engine: no engine value changed for 45 s"


def test_is_destructive_and_must_show_a_new_process(cases: ModuleType) -> None:
    plan = RestartEngine().plan(cases.incident(), Diagnosis("engine_dead", ""), cases.facts())
    assert (plan.destructive, plan.verify) == (True, True)
    old = Evidence(cases.HUNG, cases.WELL, cases.supervisor())
    assert RestartEngine().prove(plan, old).missing == "the old process still runs (pid 4711)"
    new = replace(old, supervisor=cases.supervisor(incarnation=cases.process(9.0, cases.NEW_KEY)))
    assert RestartEngine().prove(plan, new).missing == ""


def test_permits_nothing_by_itself(cases: ModuleType) -> None:
    assert RestartEngine().plan(cases.incident(), Diagnosis("engine_dead", ""), cases.facts()).allowed is False


def test_serves_what_hangs_or_is_dead_and_never_an_overloaded_server() -> None:
    hangs = {"api_server_frozen", "collective_hang", "engine_stalled", "kernel_stall", "start_hung"}
    deaths = {
        "cuda_error",
        "engine_dead",
        "gpu_memory_exhausted",
        "node_lost",
        "oom_kill",
        "poison_request",
        "worker_dead",
    }
    assert RestartEngine.causes == hangs | deaths


def test_stops_the_whole_tree_before_it_starts_it_again(cases: ModuleType) -> None:
    server = cases.Server(cases.supervisor(tree=(cases.ENGINE, cases.WORKER)))
    result = RestartEngine().carry_out(cases.handle(server))
    assert server.story == ["stop", "told to stop", "SIGTERM to 4712, 4713", "start", "told to start"]
    words = "ended 2 processes of gpu1:8000 and started it again: it runs"
    assert result == Result(Outcome.DONE, words, cases.NEW_KEY)


def test_starts_what_has_ended(cases: ModuleType) -> None:
    server = cases.Server(cases.supervisor(RunState.EXITED, incarnation=NO_INCARNATION))
    assert RestartEngine().carry_out(cases.handle(server)).words == "started gpu1:8000 again: it runs"
    assert server.story == ["start", "told to start"]


def test_leaves_alone_what_another_has_restarted(cases: ModuleType) -> None:
    server = cases.Server()
    with pytest.raises(Superseded):
        RestartEngine().carry_out(cases.handle(server, incarnation="boot-a/1/1"))
    assert server.story == []


OLD = ProcessRef(3000, 50_000, "api_server", "vllm serve m")


def test_ends_a_server_that_outlived_its_supervisor_before_it_starts_the_supervised_one(cases: ModuleType) -> None:
    """S02"""
    fatal = cases.supervisor(RunState.FATAL, incarnation=NO_INCARNATION, unsupervised=(OLD,))
    server = cases.Server(fatal)

    def gone(*arguments: object) -> tuple[ProcessRef, ...]:
        server.story.append("SIGTERM to 3000")
        server.view = replace(fatal, unsupervised=())
        return ()

    server.signal = gone
    result = RestartEngine().carry_out(cases.handle(server, incarnation="none"))
    assert server.story == ["stop", "SIGTERM to 3000", "start", "told to start"]
    assert result.words.startswith(
        "pid 3000 of an earlier start lives on, unknown to its supervisor; ended 1 processes"
    )


def test_an_answer_of_another_server_proves_no_restart(cases: ModuleType) -> None:
    plan = RestartEngine().plan(cases.incident(), Diagnosis("engine_dead", ""), cases.facts())
    new = cases.supervisor(incarnation=cases.process(9.0, cases.NEW_KEY), unsupervised=(OLD,))
    assert RestartEngine().prove(plan, Evidence(cases.HUNG, cases.WELL, new)).missing == (
        "what answers may not be the supervised server: "
        "pid 3000 of an earlier start lives on, unknown to its supervisor"
    )
