"""Reap orphans: what it plans; that it calls `reap` is tested with act."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.model import Diagnosis
from vllm_healer.remediations.reap_orphans import ReapOrphans


def test_plans_to_remove_what_was_found(cases: ModuleType) -> None:
    diagnosis = Diagnosis("orphans", "1 process outlived its API server: engine_core pid 4712")
    plan = ReapOrphans().plan(cases.incident("VllmProcessOrphaned"), diagnosis, cases.facts())
    assert plan.reason == "remove the orphans: 1 process outlived its API server: engine_core pid 4712"
    assert (plan.remediation, plan.destructive, plan.verify, plan.proof) == ("reap_orphans", True, True, "no_orphans")


def test_serves_orphans_only() -> None:
    assert ReapOrphans.causes == {"orphans"}
