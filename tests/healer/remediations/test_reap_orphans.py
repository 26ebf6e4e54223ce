"""Reap orphans: what it plans and does; with real processes it is tested in actuators/."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.model import Diagnosis, Outcome, ProcessRef, Result, RunState
from vllm_healer.proof import Evidence
from vllm_healer.remediations.reap_orphans import ReapOrphans


def test_plans_to_remove_what_was_found(cases: ModuleType) -> None:
    diagnosis = Diagnosis("orphans", "1 process outlived its API server: engine_core pid 4712")
    plan = ReapOrphans().plan(cases.incident("VllmProcessOrphaned"), diagnosis, cases.facts())
    assert plan.reason == "remove the orphans: 1 process outlived its API server: engine_core pid 4712"
    assert (plan.remediation, plan.destructive, plan.verify) == ("reap_orphans", True, True)
    left = Evidence(None, cases.WELL, cases.supervisor(orphans=(cases.ENGINE,)))
    assert ReapOrphans().prove(plan, left).missing == "still there: engine_core pid 4712"
    assert ReapOrphans().prove(plan, replace(left, supervisor=cases.supervisor())).missing == ""


def test_serves_orphans_only() -> None:
    assert ReapOrphans.causes == {"orphans"}


def test_ends_the_orphans_and_nothing_else(cases: ModuleType) -> None:
    server = cases.Server(cases.supervisor(orphans=(cases.ENGINE, cases.WORKER)))
    result = ReapOrphans().carry_out(cases.handle(server, incarnation="none"))
    assert server.story == ["terminate", "SIGTERM to 4712, 4713"]
    words = "removed the orphans of gpu1:8000: pid 4712, 4713"
    assert result == Result(Outcome.DONE, words, cases.KEY)


def test_kills_only_those_that_do_not_obey(cases: ModuleType) -> None:
    server = cases.Server(cases.supervisor(orphans=(cases.ENGINE, cases.WORKER)))
    server.stubborn = (cases.WORKER,)
    ReapOrphans().carry_out(cases.handle(server))
    assert server.story == ["terminate", "SIGTERM to 4712, 4713", "kill", "SIGKILL to 4713"]


def test_does_nothing_when_they_are_gone(cases: ModuleType) -> None:
    server = cases.Server()
    result = ReapOrphans().carry_out(cases.handle(server))
    assert (result.outcome, result.words) == (Outcome.ALREADY, "gpu1:8000 has no orphans; nothing was done")
    assert server.story == []


OLD = ProcessRef(3000, 50_000, "api_server", "vllm serve m")


def test_ends_exactly_those_that_it_was_decided_on(cases: ModuleType) -> None:
    """What was found left over only later is the next look's."""
    facts = cases.facts(supervisor=cases.supervisor(orphans=(cases.ENGINE,)))
    plan = ReapOrphans().plan(cases.incident(), Diagnosis("orphans", "1 process"), facts)
    assert plan.processes == (cases.ENGINE,)
    server = cases.Server(cases.supervisor(orphans=(cases.ENGINE, cases.WORKER), unsupervised=(OLD,)))
    handle = cases.handle(server)
    handle.processes = plan.processes
    ReapOrphans().carry_out(handle)
    assert server.story == ["terminate", "SIGTERM to 4712"]
    later = Evidence(None, cases.WELL, cases.supervisor(orphans=(cases.WORKER,)))
    assert ReapOrphans().prove(plan, later).missing == ""


def test_ends_a_server_that_outlived_its_supervisor_if_it_was_decided_on(cases: ModuleType) -> None:
    facts = cases.facts(supervisor=cases.supervisor(RunState.STARTING, unsupervised=(OLD,)))
    plan = ReapOrphans().plan(cases.incident(), Diagnosis("orphans", "pid 3000 lives on"), facts)
    server = cases.Server(cases.supervisor(unsupervised=(OLD,)))
    handle = cases.handle(server)
    handle.processes = plan.processes
    assert ReapOrphans().carry_out(handle).words == "removed the orphans of gpu1:8000: pid 3000"
    assert server.story == ["terminate", "SIGTERM to 3000"]


def test_a_serving_one_is_not_touched_when_orphans_were_decided_on_and_have_gone(cases: ModuleType) -> None:
    server = cases.Server(cases.supervisor(unsupervised=(OLD,)))
    handle = cases.handle(server)
    handle.processes = (cases.ENGINE,)
    assert ReapOrphans().carry_out(handle).outcome is Outcome.ALREADY
    assert server.story == []
