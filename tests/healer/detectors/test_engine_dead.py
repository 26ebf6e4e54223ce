"""Dead: own look and supervisor agree, and nobody is bringing it back."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.detectors.engine_dead import EngineDead
from vllm_healer.model import NO_INCARNATION, Diagnosis, Facts, Incident, IncidentState, RunState

SUPPORT = frozenset({"VllmDown"})


def detect(cases: ModuleType, age: float = 60.0, **changes: object) -> Diagnosis | None:
    facts: Facts = cases.facts(**{"look": cases.REFUSED, "signals": cases.signals(), **changes})
    return EngineDead().detect(cases.incident("VllmDown", age=age), facts)


@pytest.mark.parametrize("state", [RunState.EXITED, RunState.FATAL, RunState.STOPPED])
def test_finds_a_server_that_ended(cases: ModuleType, state: RunState) -> None:
    ended = cases.supervisor(state, incarnation=NO_INCARNATION)
    words = f"/health is refused and the supervisor says {state.value}"
    assert detect(cases, age=0.0, supervisor=ended) == Diagnosis("engine_dead", words, SUPPORT)


def test_waits_a_moment_for_a_supervisor_that_restarts_what_exits(cases: ModuleType) -> None:
    ended = cases.supervisor(RunState.EXITED, restarts_itself=True)
    assert detect(cases, age=3.0, supervisor=ended) is None
    assert detect(cases, age=11.0, supervisor=ended) is not None


def test_finds_an_engine_that_died_in_a_process_that_stays(cases: ModuleType) -> None:
    found = detect(cases, age=20.0, look=cases.UNAVAILABLE)
    assert found == Diagnosis(
        "engine_dead", "/health is 503, the engine is dead and pid 4711 has not exited for 20 s", SUPPORT
    )


def test_waits_for_a_dying_server_to_exit(cases: ModuleType) -> None:
    assert detect(cases, age=4.6, look=cases.UNAVAILABLE) is None


def test_a_503_is_no_start_however_young_the_process(cases: ModuleType) -> None:
    found = detect(cases, age=20.0, look=cases.UNAVAILABLE, supervisor=cases.supervisor(age=30.0))
    assert found is not None
    assert found.cause == "engine_dead"


def test_finds_a_running_program_without_a_process(cases: ModuleType) -> None:
    found = detect(cases, age=20.0, supervisor=cases.supervisor(incarnation=NO_INCARNATION))
    assert found == Diagnosis(
        "engine_dead", "/health is refused and no process is there, though the supervisor says running", SUPPORT
    )


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.STARTING])
def test_a_young_process_is_starting(cases: ModuleType, state: RunState) -> None:
    found = detect(cases, supervisor=cases.supervisor(state, age=90.0))
    assert found == Diagnosis("starting", "pid 4711 has been starting for 90 s of 600 s allowed", SUPPORT)


def test_a_process_that_was_ready_is_not_starting(cases: ModuleType) -> None:
    """The engine died and the API server, which refuses new connections, waits for those it has."""
    young = cases.supervisor(age=77.0)
    assert detect(cases, age=5.0, supervisor=young, was_ready=True) is None  # it may exit by itself
    found = detect(cases, age=15.0, supervisor=young, was_ready=True)
    assert found is not None
    assert found.cause == "engine_dead"


def test_between_two_tries_of_the_supervisor_it_is_starting(cases: ModuleType) -> None:
    between = cases.supervisor(RunState.STARTING, incarnation=NO_INCARNATION, detail="BACKOFF, try 2")
    found = detect(cases, supervisor=between)
    assert found == Diagnosis("starting", "the supervisor is starting it again (BACKOFF, try 2)", SUPPORT)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.STARTING])
def test_a_start_that_did_not_finish_in_time_is_dead(cases: ModuleType, state: RunState) -> None:
    found = detect(cases, supervisor=cases.supervisor(state, age=601.0))
    assert found == Diagnosis(
        "engine_dead",
        "/health is refused, pid 4711 has run for 601 s: start did not finish in 600 s, or it stopped listening since",
        SUPPORT,
    )


def test_a_start_of_unknown_age_counts_from_when_it_was_first_seen(cases: ModuleType) -> None:
    unknown = cases.supervisor(incarnation=type(cases.process(0.0))(cases.KEY, 4711, 0.0))
    late = detect(cases, supervisor=unknown, seen_at=cases.NOW.wall - 700.0)
    assert late is not None
    assert late.cause == "engine_dead"
    never = detect(cases, supervisor=unknown, seen_at=None)
    assert never == Diagnosis("starting", "pid 4711 has been starting for an unknown time of 600 s allowed", SUPPORT)


def test_a_clock_that_stepped_back_makes_a_start_young_not_old(cases: ModuleType) -> None:
    found = detect(cases, supervisor=cases.supervisor(age=-600.0))
    assert found is not None
    assert found.cause == "starting"


def test_a_health_that_times_out_is_a_busy_server(cases: ModuleType) -> None:
    assert detect(cases, look=cases.SATURATED) is None
    assert detect(cases, look=cases.SATURATED, supervisor=cases.supervisor(RunState.EXITED)) is None


def test_a_healthy_server_is_not_dead(cases: ModuleType) -> None:
    assert detect(cases, look=cases.WELL) is None


@pytest.mark.parametrize("state", [RunState.STOPPING, RunState.UNKNOWN])
def test_says_nothing_while_it_is_being_stopped_or_unknown(cases: ModuleType, state: RunState) -> None:
    assert detect(cases, supervisor=cases.supervisor(state)) is None


def test_says_nothing_without_a_look_or_a_supervisor(cases: ModuleType) -> None:
    assert detect(cases, look=None) is None
    assert detect(cases, supervisor=None) is None


def test_an_alert_marked_as_not_healable_supports_no_action(cases: ModuleType) -> None:
    only = cases.alert("VllmDown", healable="false")
    incident = Incident(7, cases.SERVER, IncidentState.OPEN, cases.at(-60.0), (only,))
    ended = cases.facts(look=cases.REFUSED, supervisor=cases.supervisor(RunState.FATAL))
    found = EngineDead().detect(incident, ended)
    assert found is not None
    assert found.supporting_alerts == frozenset()


def test_an_alert_marked_as_healable_supports_it(cases: ModuleType) -> None:
    alerts = (cases.alert("VllmDown", healable="false"), cases.alert("VllmDown", healable="true"))
    incident = Incident(7, cases.SERVER, IncidentState.OPEN, cases.at(-60.0), alerts)
    ended = cases.facts(look=cases.REFUSED, supervisor=cases.supervisor(RunState.FATAL))
    found = EngineDead().detect(incident, ended)
    assert found is not None
    assert found.supporting_alerts == SUPPORT
