"""Start hung: told from a start that is slow and proceeds, which is never killed."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.detectors.engine_dead import PHASE
from vllm_healer.detectors.start_hung import StartHung
from vllm_healer.model import Facts, Health, Look, RunState, Signal, Signals
from vllm_healer.pipeline.diagnose import diagnose


def starting(cases: ModuleType, age: float = 700.0, phase: float = 420.0, **changes: object) -> Facts:
    """A start of `age` seconds, of 600 allowed, in its present phase for `phase` seconds."""
    base = {
        "look": cases.REFUSED,
        "first_seen": cases.at(-age),
        "signals": Signals(more={PHASE: Signal(phase, 4.0)}),
    }
    return cases.facts(**{**base, **changes})  # type: ignore[no-any-return]


def test_finds_a_start_that_stands_in_one_phase_for_longer_than_a_start_may_take(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmDown"), starting(cases))
    assert found.cause == "start_hung"
    assert found.evidence == (
        "the start of pid 4711 has stood in one phase for 420 s, 700 s after it was first seen (600 s allowed); "
        "/health is refused"
    )
    assert found.supporting_alerts == {"VllmDown"}


def test_finds_one_that_listens_before_it_can_answer(cases: ModuleType) -> None:
    deaf = Look(Health.TIMEOUT, None, paused=None, work=None)
    assert diagnose(cases.incident("VllmDown"), starting(cases, look=deaf)).cause == "start_hung"


def test_a_slow_start_that_proceeds_is_waited_for(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmDown"), starting(cases, age=2000.0, phase=40.0))
    assert found.cause == "starting"
    assert found.evidence.endswith("it takes longer than that, and proceeds")


def test_a_long_phase_of_a_start_that_may_still_take_its_time_is_waited_for(cases: ModuleType) -> None:
    """Loading the weights of a large model from a network's disk."""
    assert diagnose(cases.incident("VllmDown"), starting(cases, age=500.0)).cause == "starting"


def test_where_the_phase_is_not_known_the_time_alone_decides(cases: ModuleType) -> None:
    old = Signals(more={PHASE: Signal(40.0, 15.1)})
    assert diagnose(cases.incident("VllmDown"), starting(cases, signals=old)).cause == "engine_dead"
    assert diagnose(cases.incident("VllmDown"), starting(cases, signals=None)).cause == "engine_dead"


@pytest.mark.parametrize("state", [RunState.FATAL, RunState.EXITED, RunState.STOPPED, RunState.UNKNOWN])
def test_is_quiet_when_no_start_is_under_way(cases: ModuleType, state: RunState) -> None:
    gone = starting(cases, supervisor=cases.supervisor(state))
    assert StartHung().detect(cases.incident("VllmDown"), gone) is None


def test_is_quiet_for_a_process_that_was_ready_once_or_that_answers(cases: ModuleType) -> None:
    assert StartHung().detect(cases.incident("VllmDown"), starting(cases, was_ready=True)) is None
    answers = replace(starting(cases), look=cases.WELL)
    assert StartHung().detect(cases.incident("VllmDown"), answers) is None
