"""Dead: own look and supervisor agree, and nobody is bringing it back."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.detectors.engine_dead import EngineDead
from vllm_healer.model import NO_INCARNATION, Diagnosis, Facts, Health, Incident, IncidentState, Look, RunState

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


def test_a_503_of_a_process_that_was_ready_is_its_engines_death_however_young_it_is(cases: ModuleType) -> None:
    found = detect(cases, age=20.0, look=cases.UNAVAILABLE, first_seen=cases.at(-30.0), was_ready=True)
    assert found is not None
    assert found.cause == "engine_dead"


@pytest.mark.parametrize("health", [Health.REFUSED, Health.UNAVAILABLE, Health.GATEWAY, Health.UNHEARD])
def test_a_young_process_that_was_never_ready_is_starting_whoever_says_that_it_is_not_there(
    cases: ModuleType, health: Health
) -> None:
    found = detect(cases, age=20.0, look=Look(health, None, None, None), first_seen=cases.at(-30.0))
    words = "pid 4711 has been starting for 30 s of 600 s allowed, since it was first seen"
    assert found == Diagnosis("starting", words, SUPPORT)


@pytest.mark.parametrize("health", [Health.GATEWAY, Health.SCALING, Health.UNREACHABLE, Health.UNHEARD, Health.OTHER])
@pytest.mark.parametrize("was_ready", [True, False])
def test_what_others_say_or_scaling_is_no_death_of_a_process_that_runs(
    cases: ModuleType, health: Health, was_ready: bool
) -> None:
    assert detect(cases, age=3000.0, look=Look(health, None, None, None), was_ready=was_ready) is None


def test_a_forwarded_port_that_is_closed_unasked_is_a_process_that_listens_no_more(cases: ModuleType) -> None:
    """moby/moby#18189: Docker's proxy accepts at a published port and closes when nobody listens behind it."""
    view = cases.supervisor(forwarded=True)
    unheard = Look(Health.UNHEARD, None, None, None)
    assert detect(cases, age=5.0, look=unheard, supervisor=view, was_ready=True) is None
    found = detect(cases, age=20.0, look=unheard, supervisor=view, was_ready=True)
    assert found is not None
    assert found.cause == "engine_dead"
    assert found.evidence == (
        "/health is closed unasked, pid 4711 has run for 7200 s and more: it was ready and stopped listening"
    )


@pytest.mark.parametrize("health", [Health.UNHEARD, Health.UNREACHABLE, Health.GATEWAY])
def test_nobody_behind_a_proxy_or_a_name_is_dead_once_the_supervisor_says_so(cases: ModuleType, health: Health) -> None:
    ended = cases.supervisor(RunState.EXITED, incarnation=NO_INCARNATION)
    found = detect(cases, look=Look(health, None, None, None), supervisor=ended)
    assert found == Diagnosis("engine_dead", f"/health is {health.value} and the supervisor says exited", SUPPORT)


@pytest.mark.parametrize("health", [Health.SCALING, Health.OTHER, Health.TIMEOUT])
def test_an_answer_is_no_death_whatever_the_supervisor_says(cases: ModuleType, health: Health) -> None:
    ended = cases.supervisor(RunState.EXITED, incarnation=NO_INCARNATION)
    assert detect(cases, look=Look(health, None, None, None), supervisor=ended) is None


def test_finds_a_running_program_without_a_process(cases: ModuleType) -> None:
    found = detect(cases, age=20.0, supervisor=cases.supervisor(incarnation=NO_INCARNATION))
    assert found == Diagnosis(
        "engine_dead", "/health is refused and no process is there, though the supervisor says running", SUPPORT
    )


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.STARTING])
def test_a_young_process_is_starting(cases: ModuleType, state: RunState) -> None:
    found = detect(cases, supervisor=cases.supervisor(state), first_seen=cases.at(-90.0))
    words = "pid 4711 has been starting for 90 s of 600 s allowed, since it was first seen"
    assert found == Diagnosis("starting", words, SUPPORT)


def test_a_process_that_was_ready_is_not_starting(cases: ModuleType) -> None:
    """The engine died and the API server, which refuses new connections, waits for those it has."""
    young = cases.at(-77.0)
    assert detect(cases, age=5.0, first_seen=young, was_ready=True) is None  # it may exit by itself
    found = detect(cases, age=15.0, first_seen=young, was_ready=True)
    assert found is not None
    assert found.cause == "engine_dead"


def test_between_two_tries_of_the_supervisor_it_is_starting(cases: ModuleType) -> None:
    between = cases.supervisor(RunState.STARTING, incarnation=NO_INCARNATION, detail="BACKOFF, try 2")
    found = detect(cases, supervisor=between)
    assert found == Diagnosis("starting", "the supervisor is starting it again (BACKOFF, try 2)", SUPPORT)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.STARTING])
def test_a_start_that_did_not_finish_in_time_is_dead(cases: ModuleType, state: RunState) -> None:
    found = detect(cases, supervisor=cases.supervisor(state), first_seen=cases.at(-601.0))
    late = "start did not finish in 600 s, or it stopped listening since"
    words = f"/health is refused, pid 4711 has run for 601 s and more: {late}"
    assert found == Diagnosis("engine_dead", words, SUPPORT)


@pytest.mark.parametrize("told", [-3600.0, 0.0, 5.0, 3605.0, 1e9])
def test_the_age_of_a_start_is_how_long_it_was_seen_whatever_the_wall_clock_says(
    cases: ModuleType, told: float
) -> None:
    """sonic-net/sonic-buildimage#4613: the clock is set an hour ahead, or back, after the start was stamped."""
    view = cases.supervisor(age=told)
    young = detect(cases, supervisor=view, first_seen=cases.at(-5.0))
    old = detect(cases, supervisor=view, first_seen=cases.at(-700.0))
    assert (young.cause, old.cause) == ("starting", "engine_dead")  # type: ignore[union-attr]


def test_a_process_that_was_not_seen_before_is_starting(cases: ModuleType) -> None:
    found = detect(cases, first_seen=None)
    words = "pid 4711 has been starting for 0 s of 600 s allowed, since it was first seen"
    assert found == Diagnosis("starting", words, SUPPORT)


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
