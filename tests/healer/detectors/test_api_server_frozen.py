"""A frozen API server is told from a saturated one by what it does, never by its silence alone."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.detectors.api_server_frozen import ApiServerFrozen
from vllm_healer.model import (
    NO_INCARNATION,
    Diagnosis,
    Facts,
    Health,
    Look,
    ProcessRef,
    RunState,
    Signal,
    Signals,
    SupervisorView,
)
from vllm_healer.progress import MOTIONLESS, SILENT, SILENT_LIMIT

DEAF = Look(Health.TIMEOUT, None, paused=None, work=None)


def signals(age: float = 4.0, **more: float) -> Signals:
    names = {"silent": SILENT, "limit": SILENT_LIMIT, "motionless": MOTIONLESS}
    return Signals(more={names[name]: Signal(value, age) for name, value in more.items()})


def detect(cases: ModuleType, given: Signals | None, **changes: object) -> Diagnosis | None:
    facts: Facts = cases.facts(**{"look": DEAF, "signals": given, "was_ready": True, **changes})
    return ApiServerFrozen().detect(cases.incident("VllmApiServerFrozen"), facts)


def test_finds_one_whose_part_inside_has_missed_every_tick(cases: ModuleType) -> None:
    assert detect(cases, signals(silent=26.0, limit=20.0)) == Diagnosis(
        "api_server_frozen",
        "its API server has done nothing for 26 s (limit 20 s), though pid 4711 lives; /health got no answer",
        frozenset({"VllmApiServerFrozen"}),
    )


def test_finds_one_without_the_part_inside_that_does_nothing_as_seen_from_outside(cases: ModuleType) -> None:
    found = detect(cases, signals(motionless=60.0))
    assert found is not None
    assert found.evidence == (
        "its API server has done nothing for 60 s and more, as seen from outside, though pid 4711 lives; "
        "/health got no answer"
    )


def test_is_quiet_for_a_saturated_server_whose_part_inside_ticks(cases: ModuleType) -> None:
    """Its /health has not been answered for minutes, and its loop lags by tens of ms."""
    assert detect(cases, signals(silent=0.4, limit=20.0)) is None


def test_is_quiet_for_a_saturated_server_without_the_part_inside(cases: ModuleType) -> None:
    """It computes, so nothing is recorded of it."""
    assert detect(cases, signals()) is None


def test_believes_the_part_inside_before_what_is_seen_from_outside(cases: ModuleType) -> None:
    assert detect(cases, signals(silent=0.4, limit=20.0, motionless=60.0)) is None


def test_waits_for_longer_than_it_was_ever_silent_before(cases: ModuleType) -> None:
    """A garbage collection or a huge template that took 45 s once may take as long again."""
    assert detect(cases, signals(silent=40.0, limit=45.0)) is None
    assert detect(cases, signals(silent=46.0, limit=45.0)) is not None


@pytest.mark.parametrize("health", [Health.OK, Health.REFUSED, Health.UNAVAILABLE, Health.OTHER, Health.GATEWAY])
def test_is_quiet_when_its_own_look_gets_an_answer_or_is_refused(cases: ModuleType, health: Health) -> None:
    look = replace(DEAF, health=health)
    assert detect(cases, signals(silent=26.0, limit=20.0), look=look) is None


def test_is_quiet_for_a_process_that_was_never_ready(cases: ModuleType) -> None:
    """A start imports and compiles for longer than that."""
    assert detect(cases, signals(silent=60.0, limit=20.0), was_ready=False) is None


def test_is_quiet_when_one_of_several_api_servers_is_frozen(cases: ModuleType) -> None:
    """The others serve, or are saturated."""
    several = tuple(ProcessRef(4711 + n, 99_000 + n, "api_server", f"VLLM::APIServer_{n}") for n in range(3))
    view = cases.supervisor(tree=(*several, cases.ENGINE))
    assert detect(cases, signals(silent=60.0, limit=20.0), supervisor=view) is None


@pytest.mark.parametrize("state", [RunState.STOPPING, RunState.STOPPED, RunState.EXITED, RunState.UNKNOWN])
def test_is_quiet_when_the_supervisor_does_not_say_that_it_runs(cases: ModuleType, state: RunState) -> None:
    assert detect(cases, signals(silent=60.0, limit=20.0), supervisor=cases.supervisor(state)) is None


def test_is_quiet_without_a_process_without_a_supervisor_and_without_a_look(cases: ModuleType) -> None:
    gone = SupervisorView(RunState.STARTING, NO_INCARNATION)
    given = signals(silent=60.0, limit=20.0)
    assert detect(cases, given, supervisor=gone) is None
    assert detect(cases, given, supervisor=None) is None
    assert detect(cases, given, look=None) is None


def test_is_quiet_when_what_prometheus_knows_is_old_or_nothing(cases: ModuleType) -> None:
    assert detect(cases, signals(age=15.1, silent=60.0, limit=20.0, motionless=60.0)) is None
    assert detect(cases, signals(age=15.1, motionless=60.0)) is None
    assert detect(cases, signals(silent=60.0)) is None
    assert detect(cases, None) is None


def test_the_alert_must_support_an_action(cases: ModuleType) -> None:
    facts = cases.facts(look=DEAF, signals=signals(silent=26.0, limit=20.0), was_ready=True)
    found = ApiServerFrozen().detect(cases.incident("VllmCanaryFailing"), facts)
    assert found is not None
    assert found.supporting_alerts == frozenset()
