"""The actuator that never acts."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.healer.actuators.acting import restart
from vllm_healer.actuators import DryRun, make_actuators
from vllm_healer.config.targets import OPTIONS
from vllm_healer.errors import PermanentError
from vllm_healer.model import Outcome, RunState, Target

TARGET = Target("gpu1:8000", "http://gpu1:8000", "pool", "dry_run")
VERBS: dict[str, Callable[[], object]] = {
    "stop": lambda: DryRun().stop(TARGET, 2.0),
    "start": lambda: DryRun().start(TARGET),
    "signal": lambda: DryRun().signal(TARGET, (), signal.SIGKILL, 2.0),
    "http": lambda: DryRun().http(TARGET, "POST", "/pause", None, 2.0),
}


@pytest.mark.parametrize("verb", VERBS)
def test_refuses_to_act(verb: str) -> None:
    with pytest.raises(PermanentError, match=r"dry run: .*nothing was done"):
        VERBS[verb]()


def test_a_restart_fails_before_its_first_step() -> None:
    """A step that says "stop" would make a server that a person stopped look as if we had."""
    result, steps = restart(DryRun(), TARGET, "boot/1/2")
    assert (result.outcome, steps) == (Outcome.FAILED, [])
    assert "actuator dry_run knows no supervisor); nothing was done" in result.words


def test_claims_to_see_nothing() -> None:
    assert DryRun().observe(TARGET).state is RunState.UNKNOWN


def test_every_actuator_has_its_options_in_the_configuration() -> None:
    assert set(make_actuators(lambda server: {})) == set(OPTIONS)
