"""Paused: what looks like a hang and was asked for is left to who asked for it."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.detectors.paused import Paused
from vllm_healer.pipeline.diagnose import diagnose


def test_a_paused_server_that_looks_hung_is_paused(cases: ModuleType) -> None:
    found = diagnose(cases.incident(), cases.facts(look=replace(cases.HUNG, paused=True, canary=None)))
    assert found.cause == "paused"
    assert found.advice == Paused.person
    assert not Paused.destructive_may_help


@pytest.mark.parametrize("paused", [False, None])
def test_a_hung_server_that_is_not_paused_or_does_not_say_is_stalled(cases: ModuleType, paused: bool | None) -> None:
    found = diagnose(cases.incident(), cases.facts(look=replace(cases.HUNG, paused=paused)))
    assert found.cause == "engine_stalled"


def test_an_alert_alone_is_not_believed_against_the_server(cases: ModuleType) -> None:
    """It was resumed since."""
    assert Paused().detect(cases.incident(), cases.lives_with("paused")) is None
    assert Paused().detect(cases.incident(), cases.facts(look=None)) is None
