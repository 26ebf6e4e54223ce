"""The actuator that never acts."""

from __future__ import annotations

import pytest

from vllm_healer.actuators import DryRun, make_actuators
from vllm_healer.config.targets import OPTIONS
from vllm_healer.errors import PermanentError
from vllm_healer.model import RunState, Target

TARGET = Target("gpu1:8000", "http://gpu1:8000", "pool", "dry_run")


def test_refuses_to_act_and_journals_no_step() -> None:
    steps: list[str] = []
    for act in (DryRun().restart, DryRun().reap):
        with pytest.raises(PermanentError, match=r"dry run: .*nothing was done"):
            act(TARGET, "boot/1/2", steps.append, 60.0)
    assert steps == []


def test_claims_to_see_nothing() -> None:
    assert DryRun().view(TARGET).state is RunState.UNKNOWN


def test_every_actuator_has_its_options_in_the_configuration() -> None:
    assert set(make_actuators(lambda server: {})) == set(OPTIONS)
