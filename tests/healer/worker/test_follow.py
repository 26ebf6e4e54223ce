"""What the worker sees while it waits for a server, and how waiting ends."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from vllm_healer.config import Mode
from vllm_healer.errors import TemporaryError
from vllm_healer.model import Health, IncidentState, ProcessRef, RunState, Target

ENGINE = ProcessRef(77, 1, "engine_core", "VLLM::EngineCore")


def back_off(world: Any) -> None:
    """The server has ended, and its supervisor tries again and again (supervisord's BACKOFF)."""
    world.run(16)
    world.server.state, world.server.health = RunState.STARTING, Health.REFUSED
    world.server.last_start = world.clock.wall
    world.fire("VllmDown")
    world.run(6)
    assert world.states() == {IncidentState.VERIFYING: 1}


def start_again(world: Any, times: int, every: float = 5.0) -> None:
    for _ in range(times):
        world.server.last_start = world.clock.wall
        world.run(every)


def test_an_engine_that_a_failed_start_left_behind_is_reaped_while_the_next_start_is_waited_for(world: Any) -> None:
    """S01: each later start fails for want of the memory that it holds."""
    back_off(world)
    world.server.orphans = (ENGINE,)
    world.fire("VllmProcessOrphaned")
    world.run(8)
    assert world.server.reaped == 1
    world.server.state, world.server.health = RunState.RUNNING, Health.OK
    world.server.life += 1
    world.run(10)
    assert world.server.restarts == 0
    assert world.states() == {IncidentState.HEALED: 1}


def test_an_engine_left_behind_after_our_own_restart_is_reaped_before_the_time_is_over(world: Any) -> None:
    world.server.heals = False
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(5)
    assert world.server.restarts == 1
    world.server.state, world.server.orphans = RunState.STARTING, (ENGINE,)
    world.run(8)
    assert world.server.reaped == 1
    assert any("1 process outlived its API server" in line for line in world.history() if line.startswith("verdict"))


def test_orphans_that_may_not_be_reaped_do_not_end_the_waiting_for_our_own_restart(world: Any) -> None:
    world.server.heals = False
    world.set_config(remediations={"restart_engine": Mode.ACT})
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(5)
    world.server.state, world.server.orphans = RunState.STARTING, (ENGINE,)
    world.run(60)
    assert world.server.reaped == 0
    assert world.states() == {IncidentState.VERIFYING: 1}


def test_a_server_that_hangs_while_it_is_waited_for_is_restarted(world: Any) -> None:
    back_off(world)
    world.server.state, world.server.health = RunState.RUNNING, Health.OK
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(10)
    assert world.server.restarts == 1


def test_a_start_that_exceeds_its_time_is_restarted_though_it_was_only_watched(world: Any) -> None:
    world.run(16)
    world.server.life += 1
    world.server.started = world.server.last_start = world.clock.wall
    world.server.health = Health.REFUSED
    world.fire("VllmDown")
    world.run(590)
    assert world.server.restarts == 0
    world.run(30)
    assert world.server.restarts == 1


def test_three_starts_that_never_answered_are_told_once_as_a_crash_loop(world: Any) -> None:
    back_off(world)
    start_again(world, times=5)
    told = [line for line in world.history() if "crash loop" in line]
    assert len(told) == 1
    assert "gpu1:8000 was started 3 times in" in told[0]
    assert world.states() == {IncidentState.VERIFYING: 1}


def test_a_crash_loop_ends_with_a_person_when_the_time_of_a_start_is_over(world: Any) -> None:
    """Each new start makes the server young again, so the time counts from when the waiting began."""
    back_off(world)
    start_again(world, times=130)
    assert world.server.restarts == 0
    assert any("crash loop" in line and "a person is needed" in line for line in world.history())
    assert IncidentState.FAILED in world.states()


def test_a_loop_that_is_seen_between_two_of_its_starts_is_waited_for_and_ends_with_a_person(world: Any) -> None:
    """With startsecs=1 each start counts as RUNNING, and the program is EXITED for a moment before the next."""
    back_off(world)
    world.server.restarts_itself = None
    for _ in range(80):
        world.server.state, world.server.life = RunState.RUNNING, world.server.life + 1
        start_again(world, times=1)
        world.server.state = RunState.EXITED
        world.run(3)
    assert world.server.restarts == 0
    assert any("crash loop" in line and "a person is needed" in line for line in world.history())


def test_a_restart_that_ends_in_a_crash_loop_is_said_to(world: Any) -> None:
    world.server.heals = False
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(3)
    world.server.state = RunState.STARTING
    start_again(world, times=125)
    (verdict,) = [line for line in world.history() if line.startswith("verdict")]
    assert "did not recover in 600 s: no process runs (the supervisor says starting); crash loop: " in verdict


def test_one_start_that_takes_minutes_is_no_crash_loop(world: Any) -> None:
    back_off(world)
    world.run(300)
    assert not any("crash loop" in line for line in world.history())
    assert world.states() == {IncidentState.VERIFYING: 1}


def test_the_tree_of_a_start_that_lives_a_few_seconds_is_remembered(world: Any) -> None:
    """The reconciler looks every 15 s; what a start leaves behind is known only if its tree is."""
    back_off(world)
    world.set_config(reconcile_seconds=1000.0)
    world.run(1)
    world.server.life, world.server.state = 42, RunState.RUNNING
    world.server.tree = (ENGINE,)
    world.run(3)
    assert world.journal.memory("gpu1:8000").trees["boot-1/142/1"] == (ENGINE,)


class Stuck:
    """An executor whose jobs never come back once `stuck` is set."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.stuck = inner, False

    def submit(self, job: Any, *arguments: Any) -> Future[Any]:
        return Future() if self.stuck else self.inner.submit(job, *arguments)


def test_a_look_that_never_comes_back_does_not_lock_the_pool_beyond_the_time_of_a_start(world: Any) -> None:
    world.server.heals = False
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(5)
    jobs = world.worker._jobs
    jobs._executor = stuck = Stuck(jobs._executor)
    stuck.stuck = True
    world.run(560)
    assert len(world.journal.unfinished()) == 1
    world.run(60)
    assert world.journal.unfinished() == ()
    assert IncidentState.FAILED in world.states()
    assert any("the look at it has not come back" in line for line in world.history() if line.startswith("verdict"))


def test_a_verdict_that_comes_after_the_clock_has_spoken_changes_nothing(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(1)
    (incident,) = world.journal.open_incidents()

    def time_flies() -> None:
        world.server.looked = None
        world.clock.advance(700)
        world.worker._advance.overdue(incident)

    world.server.looked = time_flies
    world.run(2)
    assert world.states() == {IncidentState.FAILED: 1}
    assert sum(line.startswith("verdict") for line in world.history()) == 1


def test_nothing_is_written_about_an_incident_that_was_closed_while_it_was_looked_at(world: Any) -> None:
    """A03: "no action was needed" is the last word."""
    world.run(16)
    world.server.health = Health.TIMEOUT
    world.fire("VllmCanaryFailing")

    def close() -> None:
        for incident in world.journal.open_incidents():
            world.journal.set_state(incident.id, IncidentState.RESOLVED, "no action was needed", world.clock.now())

    world.server.looked = close
    world.run(3)
    assert world.history()[-1] == "incident: no action was needed"


def test_a_server_of_a_closed_incident_is_not_restarted(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")

    def close() -> None:
        for incident in world.journal.open_incidents():
            world.journal.set_state(incident.id, IncidentState.RESOLVED, "no action was needed", world.clock.now())

    world.server.looked = close
    world.run(3)
    assert world.server.restarts == 0
    assert not any(line.startswith("intent") for line in world.history())


def test_the_last_words_about_what_could_not_be_done_promise_no_further_try(world: Any) -> None:
    """D09"""
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.server.start_fails = TemporaryError("Docker answers 409", delay=5.0)
    world.run(180)
    results = [line for line in world.history() if line.startswith("result")]
    assert results[-1].endswith("could not be done now: Docker answers 409; it was tried for 120 s: a person must look")


@pytest.mark.parametrize("state", [RunState.STARTING, RunState.RUNNING])
def test_a_watched_target_that_is_taken_off_the_list_is_watched_no_more(world: Any, state: RunState) -> None:
    back_off(world)
    world.server.state = state
    other: Target = replace(world.config.targets[0], server="gpu9:8000")
    world.set_config(targets=(other,))
    world.run(10)
    assert IncidentState.VERIFYING not in world.states()
