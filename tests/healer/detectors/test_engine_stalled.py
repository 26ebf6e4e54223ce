"""A stall needs Prometheus and the healer's own look to agree, and nothing that moves."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.detectors.engine_stalled import EngineStalled
from vllm_healer.model import Canary, Diagnosis, Facts, Health, Signal
from vllm_healer.progress import ENGINE_AGE, SILENT


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return EngineStalled().detect(cases.incident("VllmEngineStalled"), facts)


def test_finds_a_server_that_looks_healthy_and_hangs(cases: ModuleType) -> None:
    assert detect(cases, cases.facts()) == Diagnosis(
        "engine_stalled",
        "no engine value changed for 45 s (limit 30 s) while there are requests (running 3, waiting 2); "
        "/health is ok but the canary got no answer in 8.0 s",
        frozenset({"VllmEngineStalled"}),
    )


def test_says_which_part_of_it_stands_still_where_that_is_known_from_inside(cases: ModuleType) -> None:
    more = {ENGINE_AGE: Signal(44.0, 4.0), SILENT: Signal(0.3, 4.0)}
    found = detect(cases, cases.facts(signals=replace(cases.signals(), more=more)))
    assert found is not None
    assert found.evidence == (
        "no engine value changed for 45 s (limit 30 s) while there are requests (running 3, waiting 2); "
        "one of its engines has stood still for 44 s with requests of its own (limit 30 s); "
        "/health is ok but the canary got no answer in 8.0 s"
    )


def test_finds_a_hang_that_began_idle_with_gauges_frozen_at_zero(cases: ModuleType) -> None:
    found = detect(cases, cases.facts(signals=cases.signals(running=0.0, waiting=0.0)))
    assert found is not None
    assert "work is present (gauges of a hung engine may be frozen at 0)" in found.evidence


def test_a_server_that_does_not_say_whether_it_is_paused_may_be_stalled(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(look=replace(cases.HUNG, paused=None))) is not None


def test_two_looks_with_the_same_values_do_not_contradict_it(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(earlier=cases.HUNG)) is not None


def test_is_quiet_when_the_values_changed_between_two_looks(cases: ModuleType) -> None:
    before = replace(cases.HUNG, work=(120.0, 0.3, 3.0, 0.0))
    assert detect(cases, cases.facts(earlier=before)) is None


def test_is_quiet_when_the_values_changed_while_the_canary_waited(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(look=replace(cases.HUNG, work_before=(120.0, 0.3, 3.0, 0.0)))) is None
    assert detect(cases, cases.facts(look=replace(cases.HUNG, work_before=cases.HUNG.work))) is not None


def test_is_quiet_when_the_canary_fails_but_progress_moves(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=cases.signals(stalled=0.0, progress_age=3.0))) is None


def test_is_quiet_when_stalled_and_progress_age_contradict_each_other(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=cases.signals(stalled=1.0, progress_age=3.0))) is None


def test_is_quiet_when_its_own_canary_is_answered(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(look=cases.WELL)) is None


def test_is_quiet_when_a_canary_does_not_apply(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(look=replace(cases.HUNG, canary=cases.NOT_APPLICABLE))) is None


def test_is_quiet_when_no_canary_was_sent(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(look=replace(cases.HUNG, canary=None))) is None


def test_is_quiet_when_someone_paused_it(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(look=replace(cases.HUNG, paused=True))) is None


@pytest.mark.parametrize("health", [Health.TIMEOUT, Health.REFUSED, Health.UNAVAILABLE, Health.OTHER])
def test_is_quiet_when_health_is_anything_but_ok(cases: ModuleType, health: Health) -> None:
    assert detect(cases, cases.facts(look=replace(cases.HUNG, health=health))) is None


def test_is_quiet_when_the_sample_is_old(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=cases.signals(age=15.1))) is None


def test_believes_an_older_sample_when_the_settings_do(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=cases.signals(age=40.0), max_signal_age=45.0)) is not None


def test_is_quiet_without_prometheus_or_without_a_look(cases: ModuleType) -> None:
    assert detect(cases, cases.facts(signals=None)) is None
    assert detect(cases, cases.facts(look=None)) is None


def test_no_alert_of_the_incident_supports_it_when_only_the_canary_alert_fires(cases: ModuleType) -> None:
    found = EngineStalled().detect(cases.incident("VllmCanaryFailing"), cases.facts())
    assert found is not None
    assert found.supporting_alerts == frozenset()


def test_a_canary_that_failed_by_an_error_counts_as_failed(cases: ModuleType) -> None:
    broken = Canary(ok=False, applicable=True, seconds=0.1, detail="HTTP 500")
    assert detect(cases, cases.facts(look=replace(cases.HUNG, canary=broken))) is not None
