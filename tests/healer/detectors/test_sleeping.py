"""Sleeping: told when clients wait for a server that sleeps, not when it may sleep."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.detectors.sleeping import Sleeping
from vllm_healer.pipeline.diagnose import diagnose


def test_a_server_that_sleeps_while_clients_wait_is_told(cases: ModuleType) -> None:
    asleep = replace(cases.HUNG, paused=True, canary=None)
    found = diagnose(cases.incident(), replace(cases.lives_with("sleeping"), look=asleep))
    assert found.cause == "sleeping"
    assert found.advice == Sleeping.person
    assert not Sleeping.destructive_may_help


def test_a_server_that_may_sleep_is_only_paused(cases: ModuleType) -> None:
    asleep = replace(cases.HUNG, paused=True, canary=None)
    assert diagnose(cases.incident(), cases.facts(look=asleep)).cause == "paused"


def test_is_quiet_when_the_sample_is_old_or_it_is_down(cases: ModuleType) -> None:
    assert Sleeping().detect(cases.incident(), cases.lives_with("sleeping", age=15.1)) is None
    assert Sleeping().detect(cases.incident(), cases.died_of("sleeping")) is None
