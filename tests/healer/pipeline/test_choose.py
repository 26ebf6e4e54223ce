"""A cause becomes a plan; healer.yml says whether it may be carried out."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.model import Diagnosis, Plan
from vllm_healer.pipeline.choose import choose

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
