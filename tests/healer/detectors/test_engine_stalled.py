"""A stall needs Prometheus and the healer's own look to agree, and nothing that moves."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.detectors.engine_stalled import EngineStalled
from vllm_healer.model import Canary, Diagnosis, Facts, Health, Look, Signal, Signals
from vllm_healer.progress import CORE_LIMIT, CORE_SILENT, ENGINE_AGE, SILENT


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


# A server that refuses canaries: no key for it, or a pooling model.
REFUSED = Canary(ok=False, applicable=False, seconds=0.1, detail="HTTP 401: it wants another key")
STILL = Look(Health.OK, REFUSED, paused=None, work=(2.0, 0.0, 0.4, 77.0), work_before=(2.0, 0.0, 0.4, 77.0))


def without_canary(cases: ModuleType, **changes: object) -> Diagnosis | None:
    signals = cases.signals(progress_age=131.0, stall_limit=120.0, running=2.0, waiting=0.0)
    return detect(cases, cases.facts(**{"look": STILL, "earlier": STILL, "signals": signals, **changes}))


def test_finds_a_hang_of_a_server_that_refuses_canaries_by_two_looks_at_its_values(cases: ModuleType) -> None:
    found = without_canary(cases)
    assert found is not None
    assert found.evidence == (
        "no engine value changed for 131 s (limit 120 s) while there are requests (running 2, waiting 0); "
        "/health is ok and no value moved between two looks; "
        "a canary does not apply to it (HTTP 401: it wants another key)"
    )


def test_one_look_is_not_enough_where_no_canary_helps(cases: ModuleType) -> None:
    assert without_canary(cases, earlier=None) is None
    assert without_canary(cases, earlier=replace(STILL, work=None)) is None
    assert without_canary(cases, look=replace(STILL, work=None, work_before=None)) is None


def test_a_pooling_model_that_works_on_a_long_batch_is_quiet(cases: ModuleType) -> None:
    assert without_canary(cases, earlier=replace(STILL, work=(2.0, 0.0, 0.4, 76.0))) is None
    moving = cases.signals(stalled=0.0, progress_age=90.0, stall_limit=120.0)
    assert without_canary(cases, signals=moving) is None
    assert without_canary(cases, signals=replace(moving, stalled=Signal(1.0, 4.0))) is None


def test_an_idle_server_that_refuses_canaries_is_quiet_unless_the_exporter_s_fail(cases: ModuleType) -> None:
    idle = replace(STILL, work=(0.0, 0.0, 0.0, 77.0), work_before=(0.0, 0.0, 0.0, 77.0))
    assert without_canary(cases, look=idle, earlier=idle) is None
    one = cases.signals(canary_failures=1.0)
    assert without_canary(cases, look=idle, earlier=idle, signals=one) is None
    several = cases.signals(canary_failures=3.0)
    assert without_canary(cases, look=idle, earlier=idle, signals=several) is not None


def test_where_no_limit_is_known_no_canary_cannot_be_made_up_for(cases: ModuleType) -> None:
    assert without_canary(cases, signals=Signals(stalled=Signal(1.0, 4.0))) is None


def one_of_several(cases: ModuleType, seconds: float = 44.0, **changes: object) -> Diagnosis | None:
    signals = replace(cases.signals(progress_age=0.2), more={ENGINE_AGE: Signal(seconds, 4.0)})
    given = {"look": cases.WELL, "earlier": cases.HUNG, "signals": signals, **changes}
    return detect(cases, cases.facts(**given))


def test_finds_one_stopped_engine_of_several_though_another_answers(cases: ModuleType) -> None:
    found = one_of_several(cases)
    assert found is not None
    assert found.evidence == (
        "one of its engines has stood still for 44 s with requests of its own (limit 30 s), "
        "whatever the others do; /health is ok"
    )


def test_one_engine_of_several_that_is_late_is_quiet(cases: ModuleType) -> None:
    assert one_of_several(cases, seconds=29.0) is None


def test_one_engine_of_several_must_stand_still_at_a_second_look(cases: ModuleType) -> None:
    assert one_of_several(cases, earlier=None) is None


def test_one_engine_of_several_is_left_alone_while_the_server_is_paused_or_not_called_stalled(
    cases: ModuleType,
) -> None:
    assert one_of_several(cases, look=replace(cases.WELL, paused=True)) is None
    signals = replace(cases.signals(stalled=0.0), more={ENGINE_AGE: Signal(44.0, 4.0)})
    assert one_of_several(cases, signals=signals) is None


def silent_core(cases: ModuleType, silent: float = 33.0, **changes: object) -> Diagnosis | None:
    """Idle: the exporter sees no work that stands still."""
    more = {CORE_SILENT: Signal(silent, 4.0), CORE_LIMIT: Signal(30.0, 4.0)}
    signals = cases.signals(stalled=0.0, stall_limit=12.0, progress_age=0.0, running=0.0, waiting=0.0)
    return detect(cases, cases.facts(**{"signals": replace(signals, more=more), **changes}))


def test_finds_an_engine_core_that_hangs_while_it_is_idle(cases: ModuleType) -> None:
    found = silent_core(cases)
    assert found is not None
    assert found.evidence == (
        "an engine core process has done nothing for 33 s although it lives; "
        "/health is ok but the canary got no answer in 8.0 s"
    )


def test_an_engine_core_whose_file_alone_is_late_is_quiet(cases: ModuleType) -> None:
    """The disk of the files is full, or its thread died: the engine itself answers, or moves."""
    assert silent_core(cases, look=cases.WELL) is None
    assert silent_core(cases, earlier=replace(cases.HUNG, work=(119.0, 0.4, 3.0, 0.0))) is None
    assert silent_core(cases, silent=29.0) is None


def test_an_engine_core_that_still_compiles_is_quiet(cases: ModuleType) -> None:
    """In the first minutes the limit of a stall is 300 s."""
    more = {CORE_SILENT: Signal(90.0, 4.0), CORE_LIMIT: Signal(30.0, 4.0)}
    warming = replace(cases.signals(stalled=0.0, stall_limit=300.0), more=more)
    assert silent_core(cases, signals=warming) is None
