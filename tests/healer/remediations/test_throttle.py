"""Throttle: what it plans, what it writes and takes away again, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.errors import PermanentError
from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Facts, Look, Outcome, Plan, Signals, Target, Verb
from vllm_healer.proof import Evidence
from vllm_healer.remediations.throttle import Throttle

OVERLOAD = Diagnosis("overload", "150 requests wait", frozenset({"VllmQueueOverload"}))
MINE: dict[str, object] = {"concurrency": 20, "port": 8000}


class Lever:
    """Answers as the part inside vLLM does, and keeps what it was told."""

    def __init__(self, cases: ModuleType, *limits: dict[str, object], seconds: float = 0.0) -> None:
        self.server = cases.Server()
        self.order: dict[str, Any] = {"limits": list(limits), "seconds": seconds, "status": 429}
        self.server.http = self.http
        self.told: list[str] = []

    def http(self, target: Target, method: str, path: str, body: Any, timeout: float) -> str:
        assert path == "/vllm-monitor/throttle"
        if method != "GET":
            self.told.append(method)
            self.order = dict(body) if method == "PUT" else {"limits": [], "seconds": 0, "status": 429}
        return json.dumps(self.order)

    def handle(self, cases: ModuleType, amount: int = 20) -> Handle:
        server = self.server
        verbs = Throttle.verbs
        until = cases.NOW.boot + 60.0
        return Handle(server, cases.TARGET, cases.KEY, server.story.append, server, until, (), amount, verbs)


def guarded(cases: ModuleType, **changes: Any) -> Facts:
    """An overloaded server of which 16 requests run and 150 wait, and whose lever can be asked."""
    target = replace(cases.TARGET, monitor_token_file="/secrets/token")
    look = replace(cases.WELL, work=(16.0, 150.0, 0.9))
    found: Facts = cases.facts(target=target, look=look, **changes)
    return found


def plan(cases: ModuleType) -> Plan:
    return Throttle().plan(cases.incident("VllmQueueOverload"), OVERLOAD, guarded(cases))


def test_lets_in_what_runs_now_and_a_quarter_more(cases: ModuleType) -> None:
    found = plan(cases)
    assert (found.remediation, found.amount, found.destructive, found.verify) == ("throttle", 20, True, True)
    assert found.reason == "throttle it to 20 requests at once: 150 requests wait"


def test_a_server_that_runs_one_request_is_let_have_two(cases: ModuleType) -> None:
    facts = replace(guarded(cases), look=replace(cases.WELL, work=(1.0, 150.0)))
    assert Throttle().plan(cases.incident(), OVERLOAD, facts).amount == 2


def test_is_possible_only_where_the_lever_can_be_asked_and_it_is_known_what_runs(cases: ModuleType) -> None:
    facts = guarded(cases)
    assert Throttle().possible(facts)
    assert not Throttle().possible(replace(facts, target=cases.TARGET))
    blind = replace(facts, look=replace(cases.WELL, work=None))
    assert Throttle().possible(blind)  # Prometheus knows: 3 run
    assert not Throttle().possible(replace(blind, signals=Signals()))
    assert not Throttle().possible(replace(blind, signals=cases.signals(age=99.0)))


def test_sets_the_limit_for_its_own_port_and_for_ten_minutes(cases: ModuleType) -> None:
    lever = Lever(cases)
    result = Throttle().carry_out(lever.handle(cases))
    assert lever.order == {"seconds": 600.0, "status": 429, "limits": [MINE]}
    assert result.outcome is Outcome.DONE
    assert result.words == "gpu1:8000 lets in 20 requests at once, and refuses more, for 600 s"
    assert lever.server.story == ["http GET /vllm-monitor/throttle", "http PUT /vllm-monitor/throttle"]


def test_carried_out_again_after_a_crash_it_sets_the_same(cases: ModuleType) -> None:
    lever = Lever(cases, MINE, seconds=400.0)
    assert Throttle().carry_out(lever.handle(cases)).outcome is Outcome.DONE
    assert lever.order == {"seconds": 600.0, "status": 429, "limits": [MINE]}


@pytest.mark.parametrize(
    "theirs",
    [{"concurrency": 4, "port": 8000}, {"concurrency": 4}, {"requests_per_second": 2.0, "tenant": "key-221df437"}],
)
def test_leaves_a_throttle_alone_that_somebody_has_set(cases: ModuleType, theirs: dict[str, object]) -> None:
    lever = Lever(cases, theirs, seconds=60.0)
    result = Throttle().carry_out(lever.handle(cases))
    assert (result.outcome, lever.told) == (Outcome.ALREADY, [])
    assert "somebody throttles gpu1:8000 already" in result.words
    assert Throttle().take_back(lever.handle(cases)) == ""
    assert lever.told == []


def test_a_limit_of_another_server_of_the_directory_is_kept_and_not_prolonged(cases: ModuleType) -> None:
    other: dict[str, object] = {"concurrency": 4, "port": 8001}
    lever = Lever(cases, other, seconds=90.0)
    Throttle().carry_out(lever.handle(cases))
    assert lever.order == {"seconds": 90.0, "status": 429, "limits": [other, MINE]}
    assert Throttle().take_back(lever.handle(cases)) == "the throttle was taken off"
    assert lever.order == {"seconds": 90.0, "status": 429, "limits": [other]}


def test_what_has_run_out_is_nobodys(cases: ModuleType) -> None:
    lever = Lever(cases, {"concurrency": 4}, seconds=0.0)
    Throttle().carry_out(lever.handle(cases))
    assert lever.order["limits"] == [MINE]


def test_takes_its_own_off_once(cases: ModuleType) -> None:
    lever = Lever(cases, MINE, seconds=300.0)
    assert Throttle().take_back(lever.handle(cases)) == "the throttle was taken off"
    assert Throttle().take_back(lever.handle(cases)) == ""
    assert lever.told == ["DELETE"]


def test_something_else_on_that_path_is_no_lever(cases: ModuleType) -> None:
    lever = Lever(cases)
    lever.order = {"detail": "Hello"}
    with pytest.raises(PermanentError, match="gpu1:8000 answers /vllm-monitor/throttle with something else"):
        Throttle().carry_out(lever.handle(cases))


def test_does_nothing_but_ask_the_server(cases: ModuleType) -> None:
    assert Throttle.verbs == {Verb.HTTP}
    with pytest.raises(PermanentError, match="does not declare the verb stop"):
        Lever(cases).handle(cases).stop(2.0)


@pytest.mark.parametrize(
    ("work", "missing"),
    [
        ((10.0, 2.0), ""),
        ((16.0, 0.0), "it has 16 requests, of 20 that are let in: the load is as high"),
        ((16.0, 40.0), "it has 56 requests, of 20 that are let in: the load is as high"),
        (None, "it does not say how many requests it has"),
        ((10.0,), "it does not say how many requests it has"),
        ((10.0, -1.0), "it does not say how many requests it has"),
    ],
)
def test_is_proven_when_it_refuses_nobody_any_more(
    cases: ModuleType, work: tuple[float, ...] | None, missing: str
) -> None:
    """16 of 20 is the load at which it was set: taken off then, the queue would grow again."""
    look: Look = replace(cases.WELL, work=work)
    assert Throttle().prove(plan(cases), Evidence(None, look, None)).missing == missing


def test_a_server_that_answers_nobody_is_not_proven_well(cases: ModuleType) -> None:
    look = replace(cases.HUNG, work=(3.0, 0.0))
    assert "the canary failed" in Throttle().prove(plan(cases), Evidence(None, look, None)).missing
