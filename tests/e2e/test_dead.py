"""Servers that are gone: some the supervisor restarts, some the healer, and never those that a person stopped."""

from __future__ import annotations

import pytest

from tests.e2e.harness import scenarios
from tests.e2e.harness.scenarios import Episode
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.timeline import Timeline
from tests.e2e.harness.vllm_server import VllmServer

# Goal of the project for a server that is hard down, from fault to actuator call.
HARD_DOWN_SECONDS = 30.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_restarts_a_server_whose_engine_was_killed(stack: Stack, plain: VllmServer, timelines: list[Timeline]) -> None:
    stack.ensure(plain, autorestart=False)
    episode = scenarios.engine_killed(stack)
    timelines.append(episode.timeline)
    assert_restarted_once(episode)
    assert plain.completes()


def test_removes_the_orphans_of_a_killed_api_server_and_starts_it_again(
    stack: Stack, plain: VllmServer, timelines: list[Timeline]
) -> None:
    stack.ensure(plain, autorestart=False)
    episode = scenarios.api_server_killed(stack)
    timelines.append(episode.timeline)
    assert "reap_orphans" in [action.remediation for action in episode.actions]
    assert_restarted_once(episode)
    assert plain.completes()


def test_restarts_once_though_the_webhook_came_three_times_and_the_healer_was_killed(
    stack: Stack, plain: VllmServer, timelines: list[Timeline]
) -> None:
    stack.ensure(plain, autorestart=False)
    episode = scenarios.healer_killed(stack)
    timelines.append(episode.timeline)
    assert_restarted_once(episode)
    assert plain.completes()


def test_starts_nothing_that_a_person_stopped(stack: Stack, plain: VllmServer, timelines: list[Timeline]) -> None:
    stack.ensure(plain, autorestart=False)
    episode = scenarios.stopped_by_a_person(stack)
    timelines.append(episode.timeline)
    assert "VllmDown" in episode.timeline.alerts
    assert stack.supervisor.info().state == "STOPPED"
    assert episode.spawns == 0
    assert episode.actions == ()
    refused = [said.words for said in stack.journal.sentences(episode.timeline.fault) if said.kind == "refusal"]
    assert any("intended_state" in words for words in refused), refused


def test_only_verifies_what_the_supervisor_restarts(stack: Stack, plain: VllmServer, timelines: list[Timeline]) -> None:
    stack.ensure(plain, autorestart=True)
    episode = scenarios.engine_killed_autorestart(stack)
    timelines.append(episode.timeline)
    assert episode.spawns == 1
    assert episode.actions == ()
    assert episode.left_alive() == []
    assert plain.completes()


def assert_restarted_once(episode: Episode) -> None:
    restarts = [action for action in episode.actions if action.remediation == "restart_engine"]
    assert [restart.outcome for restart in restarts] == ["done"], episode.actions
    assert [action.verification for action in episode.actions] == ["recovered"] * len(episode.actions)
    assert episode.spawns == 1
    assert episode.left_alive() == []
    assert episode.timeline.to_start is not None
    assert episode.timeline.to_start <= HARD_DOWN_SECONDS, episode.timeline.words()
