"""kill -9 at every write to the journal: the next start finishes what was begun, repeats nothing, and locks nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.healer.worker.killing import Killed, kill_at
from vllm_healer.errors import JournalError, PermanentError
from vllm_healer.model import Health, IncidentState, Outcome, Result, RunState, Verdict, Verification

POINTS = 10  # writes from the alert to the healed incident; a test below counts them


def live(world: Any, seconds: int) -> None:
    """As `run`, and the world goes on: a restart ends the stall, and the alert some time later."""
    for second in range(seconds):
        if world.server.restarts:
            world.stalled = 0.0
            if second > 20:
                world.resolve()
        world.run(1)


def hang(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_killed_at_any_write_the_server_is_restarted_once(
    world: Any, monkeypatch: pytest.MonkeyPatch, point: int, written: bool
) -> None:
    hang(world)
    kill_at(world, monkeypatch, point, written)
    with pytest.raises(Killed):
        live(world, 60)
    world.worker = world.new_worker()
    live(world, 200)
    assert world.server.restarts == 1
    assert world.journal.unfinished() == ()
    assert world.states() == {IncidentState.HEALED: 1}


def test_there_are_as_many_points_as_writes(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hang(world)
    made = kill_at(world, monkeypatch, point=0, written=False)
    live(world, 60)
    assert made == [
        *("open_incident", "note_open", "reserve", "set_state", "step", "step", "finish", "set_state"),
        *("conclude", "set_state"),
    ]
    assert len(made) == POINTS


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_killed_at_any_write_of_a_restart_that_fails_nothing_stays_locked(
    world: Any, monkeypatch: pytest.MonkeyPatch, point: int, written: bool
) -> None:
    hang(world)
    world.server.start_fails = PermanentError("the program's command cannot be run")
    kill_at(world, monkeypatch, point, written)
    with pytest.raises(Killed):
        world.run(400)
    world.worker = world.new_worker()
    world.resolve()
    world.run(200)
    assert world.journal.unfinished() == ()
    assert world.journal.open_incidents() == ()


def killed_after(world: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The hang is there, and the healer ends right after its first write of that name."""
    hang(world)
    write = getattr(world.journal, name)

    def die(*arguments: Any, **more: Any) -> None:
        write(*arguments, **more)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(world.journal, name, die)
        with pytest.raises(Killed):
            world.run(10)


@pytest.mark.parametrize("name", ["reserve", "step"])
def test_a_server_that_recovered_while_the_healer_was_down_is_not_restarted(
    world: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    killed_after(world, monkeypatch, name)
    world.clock.advance(3600)
    world.stalled, world.server.answers = 0.0, True  # it was a driver's hiccup
    world.worker = world.new_worker()
    world.run(60)
    assert world.server.restarts == 0
    assert world.journal.unfinished() == ()
    assert any("dropped" in line and "it looks well" in line for line in world.history() if line.startswith("verdict"))
    assert world.journal.lessons() == ()


def test_an_action_that_had_not_begun_is_not_begun_while_paused_and_not_held_against_the_pool(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(world, monkeypatch, "reserve")
    world.journal.pause("anna: upgrading the driver", world.clock.now())
    world.worker = world.new_worker()
    world.run(200)
    assert world.server.restarts == 0
    assert world.journal.unfinished() == ()
    world.journal.resume("anna: done", world.clock.now())
    world.run(200)
    assert world.server.restarts == 1


def test_an_action_that_waits_goes_on_when_what_was_against_it_ends(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(world, monkeypatch, "reserve")
    world.prometheus_down = True
    world.worker = world.new_worker()
    world.run(30)
    assert world.server.restarts == 0
    world.prometheus_down = False
    world.run(10)
    assert world.server.restarts == 1
    assert sum(line.startswith("intent") for line in world.history()) == 1


def test_an_action_whose_alerts_ended_while_the_healer_was_down_still_frees_its_pool(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(world, monkeypatch, "reserve")
    world.clock.advance(3600)
    world.resolve()
    world.server.health, world.server.state = Health.REFUSED, RunState.STOPPED  # a person stopped it
    world.worker = world.new_worker()
    world.run(60)
    assert world.server.restarts == 0
    assert world.journal.unfinished() == ()


def test_an_incident_that_was_closed_under_an_action_is_carried_to_its_end(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(world, monkeypatch, "step")
    (incident,) = world.journal.open_incidents()
    world.journal.set_state(incident.id, IncidentState.RESOLVED, "nothing fires", world.clock.now())
    world.worker = world.new_worker()
    live(world, 60)
    assert world.server.restarts == 1
    assert world.journal.unfinished() == ()
    assert world.states() == {IncidentState.HEALED: 1}


def test_an_incident_left_acting_without_an_action_is_looked_at_again(world: Any) -> None:
    hang(world)
    world.run(1)
    (unfinished,) = world.journal.unfinished()
    now = world.clock.now()
    world.journal.conclude(unfinished.permit.action, Verdict(Verification.FAILED, "killed here"), 1.0, now)
    world.journal.set_state(unfinished.permit.plan.incident, IncidentState.ACTING, "as it was before", now)
    world.resolve()
    world.stalled = 0.0
    world.worker = world.new_worker()
    world.run(60)
    assert world.states() == {IncidentState.RESOLVED: 1}


def test_an_action_that_failed_and_was_not_concluded_is_not_waited_for(world: Any) -> None:
    world.server.heals = False
    hang(world)
    world.run(2)
    (unfinished,) = world.journal.unfinished()
    world.journal.finish(unfinished.permit.action, Result(Outcome.FAILED, "no such program"), world.clock.now())
    world.worker = world.new_worker()
    world.run(10)
    assert world.states() == {IncidentState.FAILED: 1}


def test_a_journal_that_fails_in_the_middle_of_a_restart_ends_it_later(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(world)
    with monkeypatch.context() as patched:

        def full(*arguments: Any) -> None:
            raise JournalError("its disk is full")

        patched.setattr(world.journal, "step", full)
        world.run(20)
    assert world.server.restarts == 0
    live(world, 60)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}
