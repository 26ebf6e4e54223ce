"""Engines that hang while /health says 200: found by missing progress, restarted as a whole group."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.harness import scenarios
from tests.e2e.harness.scenarios import Episode
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.timeline import Timeline
from tests.e2e.harness.vllm_server import VllmServer

# Goal of the project for a stalled engine, from fault to actuator call.
STALLED_SECONDS = 60.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("stall", [scenarios.stall_under_load, scenarios.stall_idle], ids=["under_load", "idle"])
def test_restarts_an_engine_that_hangs(
    stall: Callable[[Stack], Episode], stack: Stack, plain: VllmServer, timelines: list[Timeline]
) -> None:
    stack.ensure(plain, autorestart=True)
    episode = stall(stack)
    timelines.append(episode.timeline)
    assert episode.health_before == {200}
    assert [action.outcome for action in episode.actions] == ["done"]
    assert [action.verification for action in episode.actions] == ["recovered"]
    assert episode.spawns == 1
    assert episode.left_alive() == []
    assert plain.completes()
    assert plain.progress()["vllm:iteration_tokens_total_count"] > 0  # of the new process: it began at 0
    assert episode.timeline.to_start is not None
    assert episode.timeline.to_start <= STALLED_SECONDS, episode.timeline.words()
