"""Hangs of a real vLLM with the part inside, up to the alert that fires, and servers that only look hung."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.detection import LOOK_HUNG, SLOW, STALLED, TWO_ENGINES, Fault, running_fleet

ONE_OF_TWO = 30.0  # seconds; the project's goal
WATCHED_FOR = 90.0  # seconds: the prefill takes 45, and a step of 3 s is seen 30 times


@pytest.mark.timeout(900)
def test_servers_that_look_hung_raise_no_alarm(script: Path, tmp_path: Path) -> None:
    with running_fleet(script, tmp_path, list(LOOK_HUNG.values()), SLOW) as fleet:
        fleet.settle()
        assert fleet.false_alarms(WATCHED_FOR) == dict.fromkeys(LOOK_HUNG, 0)


@pytest.mark.timeout(900)
def test_one_engine_of_two_behind_two_api_servers_is_found(script: Path, tmp_path: Path) -> None:
    with running_fleet(script, tmp_path, [TWO_ENGINES]) as fleet:
        fleet.settle()
        with fleet.under_load():
            found = fleet.measure({0: Fault("stop", "EngineCore", STALLED, "DP1")})[0]
        assert found.seconds is not None
        assert found.seconds <= ONE_OF_TWO
