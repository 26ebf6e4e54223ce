"""Only what was done and verified teaches something."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.model import Lesson, Outcome, Verdict, Verification
from vllm_healer.pipeline.learn import learn

RECOVERED = Verdict(Verification.RECOVERED, "it answers")
FAILED = Verdict(Verification.FAILED, "it does not")


def test_a_verified_recovery_is_a_lesson(cases: ModuleType) -> None:
    assert learn(cases.plan(), RECOVERED, 42.0) == Lesson("restart_engine", "engine_stalled", True, 42.0)


def test_a_verified_failure_is_a_lesson_too(cases: ModuleType) -> None:
    assert learn(cases.plan(), FAILED, 600.0) == Lesson("restart_engine", "engine_stalled", False, 600.0)


def test_an_open_verdict_teaches_nothing(cases: ModuleType) -> None:
    assert learn(cases.plan(), Verdict(Verification.NOT_YET, "loading"), 42.0) is None


@pytest.mark.parametrize("outcome", [Outcome.ALREADY, Outcome.FAILED])
def test_what_another_did_or_nobody_could_do_teaches_nothing(cases: ModuleType, outcome: Outcome) -> None:
    assert learn(cases.plan(), RECOVERED, 42.0, outcome) is None


def test_only_telling_teaches_nothing(cases: ModuleType) -> None:
    assert learn(cases.plan(remediation="notify_only", destructive=False), RECOVERED, 42.0) is None
