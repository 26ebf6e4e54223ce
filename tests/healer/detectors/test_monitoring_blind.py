"""Monitoring blind: an unreadable /metrics beside a healthy /health is said in words, to a person."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.detectors.monitoring_blind import MonitoringBlind
from vllm_healer.model import Signals
from vllm_healer.pipeline.diagnose import diagnose


def test_says_that_it_serves_and_that_a_hang_would_not_be_seen(cases: ModuleType) -> None:
    look = replace(cases.WELL, work=None, work_before=None)
    found = diagnose(cases.incident("VllmCanaryFailing"), cases.facts(look=look, signals=Signals()))
    assert found.cause == "monitoring_blind"
    assert found.evidence == (
        "/health is ok, but its /metrics shows no value of the engine: "
        "it serves, as the canary was answered in 0.2 s, and a hang would not be seen"
    )
    assert found.advice == MonitoringBlind.person
    assert not MonitoringBlind.destructive_may_help


def test_says_that_nobody_knows_when_the_canary_fails_or_does_not_apply(cases: ModuleType) -> None:
    for canary, words in (
        (cases.UNANSWERED, "the canary failed (no answer in 8 s), and whether it hangs or is busy is not known"),
        (cases.NOT_APPLICABLE, "whether it serves is not known, as no canary applies to it"),
    ):
        look = replace(cases.WELL, work=None, canary=canary)
        found = diagnose(cases.incident("VllmCanaryFailing"), cases.facts(look=look, signals=Signals()))
        assert found.cause == "monitoring_blind"
        assert found.evidence.endswith(words)


def test_one_reading_that_failed_is_no_blindness(cases: ModuleType) -> None:
    """The page was there before the canary, or after it."""
    for look in (replace(cases.WELL, work=None, work_before=cases.WELL.work), replace(cases.WELL, work_before=None)):
        assert MonitoringBlind().detect(cases.incident(), cases.facts(look=look)) is None


def test_a_stall_that_the_exporter_sees_is_a_stall(cases: ModuleType) -> None:
    look = replace(cases.HUNG, work=None)
    assert diagnose(cases.incident(), cases.facts(look=look)).cause == "engine_stalled"


def test_is_quiet_for_a_server_that_is_down_or_late(cases: ModuleType) -> None:
    for look in (cases.REFUSED, cases.SATURATED):
        assert MonitoringBlind().detect(cases.incident(), cases.facts(look=look)) is None
