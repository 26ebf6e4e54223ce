"""The handle: every verb is journalled first, hits one incarnation only, and leaves alone what is done already."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as but

import pytest

from vllm_healer.errors import JournalError, PermanentError, Superseded, TemporaryError
from vllm_healer.handle import Handle, is_superseded, members
from vllm_healer.model import (
    NO_INCARNATION,
    Incarnation,
    Instant,
    ProcessRef,
    RunState,
    SupervisorView,
    Target,
)

KEY, OTHER = "boot-a/10/100", "boot-a/20/200"
TARGET = Target("gpu1:8000", "http://127.0.0.1:8000", "pool", "fake")
SERVER = ProcessRef(10, 100, "api_server", "vllm serve")
ENGINE = ProcessRef(11, 110, "engine_core", "VLLM::EngineCore")
LEFT = ProcessRef(9, 90, "helper", "python3")
RUNNING = SupervisorView(RunState.RUNNING, Incarnation(KEY, 10), tree=(SERVER, ENGINE), detail="it runs")
STOPPED = SupervisorView(RunState.STOPPED, NO_INCARNATION, detail="it is stopped")
RESTARTED = SupervisorView(RunState.RUNNING, Incarnation(OTHER, 20), detail="another runs")


@dataclass
class World:
    """Clock, actuator and journal at once; `story` is what happened, in order."""

    view: SupervisorView = RUNNING
    stubborn: tuple[ProcessRef, ...] = ()  # outlives every signal
    slow: float = 0.0  # seconds that the supervisor takes to stop or start
    at_step: Callable[[], None] = lambda: None
    boot: float = 1000.0
    story: list[str] = field(default_factory=list)
    due: tuple[float, SupervisorView] | None = None

    def now(self) -> Instant:
        return Instant(self.boot, self.boot, "boot-a")

    def sleep(self, seconds: float) -> None:
        self.boot += seconds

    def step(self, name: str) -> None:
        self.story.append(f"step {name}")
        self.at_step()

    def observe(self, target: Target) -> SupervisorView:
        if self.due is not None and self.boot >= self.due[0]:
            self.view, self.due = self.due[1], None
        return self.view

    def stop(self, target: Target, grace: float) -> None:
        self.story.append(f"stop within {grace:g} s")
        self.view, self.due = but(self.view, state=RunState.STOPPING), (self.boot + self.slow, STOPPED)

    def start(self, target: Target) -> None:
        self.story.append("start")
        self.view, self.due = but(STOPPED, state=RunState.STARTING), (self.boot + self.slow, RESTARTED)

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        self.story.append(f"{signal.Signals(number).name} to {[ref.pid for ref in processes]} for {wait:g} s")
        return tuple(ref for ref in processes if ref in self.stubborn)

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        self.story.append(f"{method} {path} {body} within {timeout:g} s")
        return "done"

    def handle(self, seconds: float = 60.0) -> Handle:
        return Handle(self, TARGET, KEY, self.step, self, self.boot + seconds)


def test_stops_by_the_supervisor_first_and_then_ends_what_is_left() -> None:
    world = World(but(RUNNING, survivors={KEY: (ENGINE, LEFT), "boot-a/1/1": (SERVER,)}), stubborn=(LEFT,))
    with pytest.raises(TemporaryError, match=r"still there after SIGKILL: python3 \(pid 9\); they may hang") as raised:
        world.handle().stop(2.0)
    assert raised.value.delay == 30.0
    assert world.story == [
        "step stop",
        "stop within 2 s",
        "SIGTERM to [10, 11, 9] for 2 s",
        "SIGKILL to [9] for 60 s",
    ]


def test_says_how_many_it_ended_and_kills_nobody_who_obeys() -> None:
    world = World()
    assert world.handle().stop(2.0) == 2
    assert world.story == ["step stop", "stop within 2 s", "SIGTERM to [10, 11] for 2 s"]


def test_waits_for_a_supervisor_that_is_still_stopping_it_but_not_for_ever() -> None:
    world = World(slow=15.0)
    world.handle().stop(2.0)
    assert world.observe(TARGET).state is RunState.STOPPED
    with pytest.raises(TemporaryError, match=r"gpu1:8000 is still being stopped \(it runs\)"):
        World(slow=100.0).handle().stop(2.0)


def test_what_could_not_be_started_again_is_not_stopped() -> None:
    world = World(but(RUNNING, no_way_back="a stop removes it"))
    with pytest.raises(PermanentError, match=r"gpu1:8000 could not be started again: a stop removes it; nothing was"):
        world.handle().stop(2.0)
    assert world.story == []


def test_what_has_ended_is_not_stopped_again() -> None:
    world = World(STOPPED)
    assert world.handle().stop(2.0) == 0
    assert world.story == []


def test_what_an_ended_server_left_behind_is_ended_without_the_supervisor() -> None:
    world = World(but(STOPPED, orphans=(ENGINE,)))
    assert world.handle().stop(2.0) == 1
    assert world.story == ["step stop", "SIGTERM to [11] for 2 s"]


@pytest.mark.parametrize("verb", [lambda handle: handle.stop(2.0), lambda handle: handle.http("POST", "/pause")])
def test_another_incarnation_is_left_alone_and_nothing_is_journalled(verb: Callable[[Handle], object]) -> None:
    world = World(RESTARTED)
    with pytest.raises(Superseded, match=r"already started again \(another runs\); nothing was done") as raised:
        verb(world.handle())
    assert (raised.value.incarnation, world.story) == (OTHER, [])


@pytest.mark.parametrize("verb", [lambda handle: handle.stop(2.0), lambda handle: handle.http("POST", "/pause")])
def test_one_that_comes_while_the_step_is_written_is_left_alone_too(verb: Callable[[Handle], object]) -> None:
    world = World()

    def restarted() -> None:
        world.view = RESTARTED

    world.at_step = restarted
    with pytest.raises(Superseded):
        verb(world.handle())
    assert [line for line in world.story if not line.startswith("step")] == []


def test_nothing_is_done_when_the_step_cannot_be_journalled() -> None:
    world = World()

    def full() -> None:
        raise JournalError("its disk is full")

    world.at_step = full
    for verb in (
        lambda: world.handle().stop(2.0),
        lambda: world.handle().start(),
        lambda: world.handle().terminate((ENGINE,), 4.0),
        lambda: world.handle().kill((ENGINE,)),
        lambda: world.handle().http("POST", "/pause"),
    ):
        with pytest.raises(JournalError):
            verb()
    assert [line for line in world.story if not line.startswith("step")] == []


def test_a_server_of_which_nobody_knows_whether_it_runs_is_left_alone() -> None:
    world = World(but(STOPPED, state=RunState.UNKNOWN))
    with pytest.raises(
        TemporaryError, match=r"nobody knows whether gpu1:8000 runs \(it is stopped\); nothing was done"
    ):
        world.handle().stop(2.0)
    assert world.story == []


def test_starts_and_waits_for_the_new_process() -> None:
    world = World(STOPPED, slow=10.0)
    assert world.handle().start() == RESTARTED
    assert world.story == ["step start", "start"]
    assert 1010.0 <= world.boot < 1011.0


def test_a_start_that_takes_longer_than_the_action_may_is_left_to_verification() -> None:
    world = World(STOPPED, slow=100.0)
    assert world.handle().start().incarnation == NO_INCARNATION
    assert world.boot < 1061.0


def test_terminates_and_kills_exactly_those_that_are_named() -> None:
    world = World(stubborn=(ENGINE,))
    handle = world.handle(seconds=3.0)
    assert handle.terminate((ENGINE, LEFT), 4.0) == (ENGINE,)
    with pytest.raises(TemporaryError):
        handle.kill((ENGINE,))
    assert world.story == [
        *("step terminate", "SIGTERM to [11, 9] for 3 s"),
        *("step kill", "SIGKILL to [11] for 3 s"),
    ]


def test_asks_the_server_itself() -> None:
    world = World()
    assert world.handle().http("POST", "/pause", {"mode": "wait"}) == "done"
    assert world.story == ["step http POST /pause", "POST /pause {'mode': 'wait'} within 60 s"]


@pytest.mark.parametrize(
    ("state", "present", "incarnation", "superseded"),
    [
        (RunState.RUNNING, KEY, KEY, False),
        (RunState.RUNNING, KEY, OTHER, True),
        (RunState.STOPPING, KEY, OTHER, True),
        (RunState.RUNNING, KEY, "none", True),
        (RunState.EXITED, "none", KEY, False),
        (RunState.STOPPED, "none", KEY, False),
        (RunState.STARTING, "none", KEY, True),  # the supervisor is at it
        (RunState.STARTING, "none", "none", False),
        (RunState.FATAL, "none", "none", False),
    ],
)
def test_only_another_living_or_coming_incarnation_supersedes(
    state: RunState, present: str, incarnation: str, superseded: bool
) -> None:
    assert is_superseded(SupervisorView(state, Incarnation(present)), incarnation) is superseded


def test_members_are_the_tree_what_is_left_of_this_incarnation_and_orphans_each_once() -> None:
    seen = but(RUNNING, survivors={KEY: (ENGINE,), OTHER: (LEFT,)}, orphans=(ENGINE,))
    assert members(seen, KEY) == (SERVER, ENGINE)
    assert members(seen, OTHER) == (SERVER, ENGINE, LEFT)
