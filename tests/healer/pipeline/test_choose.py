"""A cause becomes a plan; healer.yml says whether it may be carried out."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.model import Diagnosis, Facts, Plan
from vllm_healer.pipeline.choose import choose
from vllm_healer.remediations.notify_only import NotifyOnly

ALL = ("restart_engine", "reap_orphans")


def chosen(cases: ModuleType, cause: str, allowed: tuple[str, ...] = ALL, **changes: object) -> Plan:
    diagnosis = Diagnosis(cause, "as seen", frozenset({"VllmEngineStalled"}))
    return choose(cases.incident(), diagnosis, cases.facts(**changes), allowed)


def test_a_stall_is_answered_by_a_restart_of_that_process(cases: ModuleType) -> None:
    assert chosen(cases, "engine_stalled") == Plan(
        incident=7,
        server="gpu1:8000",
        pool="chat",
        remediation="restart_engine",
        destructive=True,
        incarnation="boot-a/4711/99000",
        reason="restart the engine: as seen",
        diagnosis=Diagnosis("engine_stalled", "as seen", frozenset({"VllmEngineStalled"})),
        verify=True,
        allowed=True,
    )


@pytest.mark.parametrize(
    ("cause", "remediation", "destructive", "verify"),
    [
        ("engine_stalled", "restart_engine", True, True),
        ("engine_dead", "restart_engine", True, True),
        ("orphans", "reap_orphans", True, True),
        ("overload", "notify_only", False, False),
        ("starting", "notify_only", False, True),
        ("unknown", "notify_only", False, False),
        ("none", "notify_only", False, False),
        ("a cause that nothing serves", "notify_only", False, False),
    ],
)
def test_each_cause_has_its_answer(
    cases: ModuleType, cause: str, remediation: str, destructive: bool, verify: bool
) -> None:
    plan = chosen(cases, cause)
    assert (plan.remediation, plan.destructive, plan.verify) == (remediation, destructive, verify)


def overloaded(cases: ModuleType) -> dict[str, Any]:
    """A server whose throttle can be asked."""
    target = replace(cases.TARGET, monitor_token_file="/secrets/token")
    return {"target": target, "look": replace(cases.WELL, work=(16.0, 150.0))}


def test_an_overload_is_throttled_where_that_is_allowed_and_possible(cases: ModuleType) -> None:
    allowed = ("throttle", "notify_only")
    plan = chosen(cases, "overload", allowed, **overloaded(cases))
    assert (plan.remediation, plan.destructive, plan.allowed, plan.amount) == ("throttle", True, True, 20)
    assert chosen(cases, "overload", **overloaded(cases)).remediation == "notify_only"
    assert chosen(cases, "overload", allowed).remediation == "notify_only"  # no token


def test_what_cannot_say_whether_it_is_possible_is_not_planned(cases: ModuleType) -> None:
    class Broken(NotifyOnly):
        optional = True

        def possible(self, facts: Facts) -> bool:
            raise KeyError("x")

    known = {"broken": Broken(), "notify_only": NotifyOnly()}
    diagnosis = Diagnosis("unknown", "as seen")
    plan = choose(cases.incident(), diagnosis, cases.facts(), ("broken",), known)
    assert plan.remediation == "notify_only"


def test_what_is_not_allowed_is_planned_all_the_same(cases: ModuleType) -> None:
    plan = chosen(cases, "engine_stalled", allowed=("reap_orphans",))
    assert (plan.remediation, plan.destructive, plan.allowed) == ("restart_engine", True, False)


def test_an_empty_list_allows_nothing(cases: ModuleType) -> None:
    assert chosen(cases, "orphans", allowed=()).allowed is False


def test_telling_needs_no_permission(cases: ModuleType) -> None:
    assert chosen(cases, "overload", allowed=()).allowed is True


def test_an_unknown_target_is_only_reported(cases: ModuleType) -> None:
    plan = chosen(cases, "engine_stalled", target=None)
    assert (plan.remediation, plan.destructive, plan.pool) == ("notify_only", False, "")


def test_a_supervisor_that_does_not_answer_leaves_the_process_unnamed(cases: ModuleType) -> None:
    assert chosen(cases, "engine_stalled", supervisor=None).incarnation == ""
