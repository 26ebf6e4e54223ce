"""Restart engine: what it plans; that it calls `restart` is tested with act."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.model import Diagnosis
from vllm_healer.remediations.restart_engine import RestartEngine


def test_names_the_process_it_was_decided_on(cases: ModuleType) -> None:
    diagnosis = Diagnosis("engine_stalled", "no engine value changed for 45 s")
    plan = RestartEngine().plan(cases.incident(), diagnosis, cases.facts())
    assert plan.remediation == "restart_engine"
    assert plan.incarnation == "boot-a/4711/99000"
    assert plan.reason == "restart the engine: no engine value changed for 45 s"


def test_is_destructive_and_must_show_a_new_process(cases: ModuleType) -> None:
    plan = RestartEngine().plan(cases.incident(), Diagnosis("engine_dead", ""), cases.facts())
    assert (plan.destructive, plan.verify, plan.proof) == (True, True, "new_incarnation")


def test_permits_nothing_by_itself(cases: ModuleType) -> None:
    assert RestartEngine().plan(cases.incident(), Diagnosis("engine_dead", ""), cases.facts()).allowed is False


def test_serves_a_stalled_and_a_dead_engine_and_never_an_overloaded_one() -> None:
    assert RestartEngine.causes == {"engine_dead", "engine_stalled"}
