"""Overload is a long queue on a server that works."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.detectors.overload import Overload
from vllm_healer.model import Diagnosis, Facts, Signals


def detect(cases: ModuleType, facts: Facts, *names: str) -> Diagnosis | None:
    return Overload().detect(cases.incident(*(names or ("HighLatency",))), facts)


def test_finds_a_saturated_server_whose_health_is_late(cases: ModuleType) -> None:
    busy = cases.signals(stalled=0.0, progress_age=1.0, waiting=412.0)
    assert detect(cases, cases.facts(look=cases.SATURATED, signals=busy), "VllmQueueOverload") == Diagnosis(
        "overload",
        "412 requests wait (limit 100) and an engine value changed 1 s ago; /health is late",
        frozenset({"VllmQueueOverload"}),
    )


def test_finds_a_long_queue_without_its_alert(cases: ModuleType) -> None:
    busy = cases.signals(stalled=0.0, progress_age=1.0, waiting=101.0)
    assert detect(cases, cases.facts(signals=busy)) is not None


def test_finds_it_by_the_alert_when_the_number_of_waiting_is_unknown(cases: ModuleType) -> None:
    facts = cases.facts(signals=Signals(), look=cases.WELL)
    found = detect(cases, facts, "VllmQueueOverload")
    assert found is not None
    assert found.evidence == "the queue is long and the engine works"


def test_its_own_two_looks_show_progress_too(cases: ModuleType) -> None:
    before = replace(cases.HUNG, work=(119.0, 0.4, 3.0, 0.0))
    facts = cases.facts(signals=cases.signals(waiting=300.0), earlier=before)
    assert detect(cases, facts) is not None


def test_is_quiet_at_the_limit_without_the_alert(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=cases.signals(stalled=0.0, progress_age=1.0, waiting=100.0))) is None


def test_is_quiet_without_progress(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=cases.signals(waiting=412.0)), "VllmQueueOverload") is None


def test_is_quiet_when_the_samples_are_old(cases: ModuleType) -> None:
    old = cases.signals(age=60.0, stalled=0.0, progress_age=1.0, waiting=412.0)
    assert detect(cases, cases.facts(signals=old), "VllmQueueOverload") is None


def test_is_quiet_without_prometheus(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=None), "VllmQueueOverload") is None
