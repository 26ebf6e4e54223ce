"""Properties, on worlds that are made up at random: no action reaches further than its remediation declares, and the
guards never let more happen than the limits say."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType

import pytest

from vllm_healer.errors import HealerError, TemporaryError
from vllm_healer.handle import Handle
from vllm_healer.ledger import Ledger, LedgerEntry
from vllm_healer.model import (
    NO_INCARNATION,
    Diagnosis,
    Incarnation,
    Instant,
    ProcessRef,
    RunState,
    SupervisorView,
    Target,
    Verb,
)
from vllm_healer.registry import remediations

DESTRUCTIVE = sorted(name for name, one in remediations().items() if one.destructive)
SERVING = [name for name in DESTRUCTIVE if remediations()[name].causes]
POOLS = {"one": 1, "three": 3, "twelve": 12}


class Passing:
    """A clock that goes on by itself, so that nothing is waited for without end."""

    def __init__(self) -> None:
        self.boot = 50_000.0

    def now(self) -> Instant:
        self.boot += 1.0
        return Instant(self.boot, self.boot, "boot-a")

    def sleep(self, seconds: float) -> None:
        self.boot += seconds


class Killed(BaseException):
    """The healer ends here."""


@dataclass
class World:
    """An actuator that obeys, fails or is the last that the healer does, as the dice say; it keeps what was asked."""

    dice: random.Random
    view: SupervisorView
    asked: list[tuple[str, Target, tuple[ProcessRef, ...]]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def change(self, verb: str, target: Target, processes: Sequence[ProcessRef] = ()) -> None:
        assert len(self.steps) > 0, f"{verb} before any step was journalled"
        self.asked.append((verb, target, tuple(processes)))
        luck = self.dice.random()
        if luck < 0.1:
            raise TemporaryError("busy")
        if luck < 0.2:
            raise Killed

    def observe(self, target: Target) -> SupervisorView:
        return self.view

    def stop(self, target: Target, grace: float) -> None:
        self.change("stop", target)
        self.view = replace(self.view, state=RunState.STOPPED, incarnation=NO_INCARNATION, tree=())

    def start(self, target: Target) -> None:
        self.change("start", target)
        self.view = replace(self.view, state=RunState.RUNNING, incarnation=Incarnation("boot-a/9/9", 9))

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        self.change("signal", target, processes)
        return tuple(process for process in processes if self.dice.random() < 0.2)

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        self.change("http", target)
        return json.dumps({"limits": [], "seconds": 0, "status": 429})


def some(dice: random.Random, first: int) -> tuple[ProcessRef, ...]:
    roles = ("api_server", "engine_core", "worker", "helper")
    return tuple(
        ProcessRef(first + n, n, dice.choice(roles), f"process {first + n}") for n in range(dice.randint(0, 3))
    )


def view_of(dice: random.Random, key: str) -> SupervisorView:
    """A server in any state: ours, another's, none; with leftovers or without; beside a stranger."""
    incarnation = dice.choice((Incarnation(key, 4711), Incarnation("boot-a/5000/1", 5000), NO_INCARNATION))
    return SupervisorView(
        state=dice.choice(list(RunState)),
        incarnation=incarnation,
        tree=some(dice, 100),
        orphans=some(dice, 200),
        survivors={key: some(dice, 300), "boot-a/1/1": some(dice, 400)},
        unsupervised=some(dice, 500),
        stranger=ProcessRef(666, 1, "api_server", "somebody else's"),
        no_way_back=dice.choice(("", "", "", "it was run with --rm")),
    )


@pytest.mark.parametrize("name", DESTRUCTIVE)
def test_no_action_reaches_further_than_its_remediation_declares(cases: ModuleType, name: str) -> None:
    """Killed anywhere and carried out again, too, with a world that changes in between."""
    remediation, dice = remediations()[name], random.Random(name)
    acted = 0
    for _ in range(1500):
        world = World(dice, view_of(dice, cases.KEY))
        facts = cases.facts(supervisor=world.view)
        plan = remediation.plan(cases.incident(), Diagnosis("any", "as seen"), facts)
        plan = replace(plan, incarnation=cases.KEY)
        may_end = set(plan.processes)
        for _ in range(3):
            seen = world.view
            may_end |= {*seen.tree, *seen.survivors[cases.KEY], *seen.orphans, *seen.unsupervised}
            until, args = cases.NOW.boot + 60.0, (plan.processes, plan.amount, remediation.verbs)
            handle = Handle(world, cases.TARGET, plan.incarnation, world.steps.append, Passing(), until, *args)
            try:
                remediation.carry_out(handle)
                break
            except HealerError:
                break
            except Killed:
                world.view = dice.choice((world.view, view_of(dice, cases.KEY)))
        acted += bool(world.asked)
        for verb, target, processes in world.asked:
            assert Verb(verb) in remediation.verbs
            assert target is cases.TARGET
            allowed = set(plan.processes) if plan.processes else may_end
            assert set(processes) <= allowed
            assert world.view.stranger not in processes
    assert acted > 100


HOUR = 3600.0


@dataclass
class Fleet:
    """Servers of three pools on which actions are tried at random moments, and what the guards let happen."""

    cases: ModuleType
    dice: random.Random
    now: float = 0.0
    done: list[LedgerEntry] = field(default_factory=list)  # newest first
    down: dict[int, bool] = field(default_factory=dict)  # action -> whether its server was down by our own look

    def attempt(self) -> None:
        cases, dice = self.cases, self.dice
        self.now += dice.choice((1.0, 20.0, 90.0, 400.0))
        pool = dice.choice(list(POOLS))
        server, name = f"{pool}-{dice.randrange(POOLS[pool])}:8000", dice.choice(SERVING)
        cause = min(remediations()[name].causes)
        look = dice.choice((cases.HUNG, cases.REFUSED))
        target = replace(cases.TARGET, server=server, pool=pool)
        facts = cases.facts(now=cases.at(self.now), target=target, look=look, pool_size=POOLS[pool])
        diagnosis = Diagnosis(cause, "", frozenset({"VllmEngineStalled"}))
        plan = cases.plan(server=server, pool=pool, remediation=name, diagnosis=diagnosis, amount=1)
        if cases.judge(facts, Ledger(entries=tuple(self.done)), plan) is None:
            action = len(self.done) + 1
            at = cases.at(self.now)
            self.done.insert(0, LedgerEntry(action, server, pool, name, at, finished=False, recovered=False))
            self.down[action] = look is cases.REFUSED

    def finish(self) -> None:
        """Some of what is under way ends, well or badly."""
        for place, entry in enumerate(self.done):
            if not entry.finished and self.dice.random() < 0.3:
                well = self.dice.random() < 0.8
                took = self.dice.choice((5.0, 60.0)) if well else 0.0
                self.done[place] = replace(entry, finished=True, recovered=well, took=took)

    def before(self, entry: LedgerEntry, seconds: float) -> list[LedgerEntry]:
        """This action and those of the last so many seconds before it."""
        return [e for e in self.done if e.action <= entry.action and entry.at.boot - e.at.boot < seconds]


def lossy(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    return [entry for entry in entries if not remediations()[entry.remediation].reversible]


@pytest.mark.parametrize("seed", range(12))
def test_the_guards_never_let_more_happen_than_the_limits_say(cases: ModuleType, seed: int) -> None:
    fleet = Fleet(cases, random.Random(seed))
    for _ in range(500):
        fleet.attempt()
        under_way = {e.server for e in fleet.done if not e.finished}
        assert len(under_way) == sum(not e.finished for e in fleet.done)  # one at a time on each server
        serving = [e for e in lossy(fleet.done) if not e.finished and not fleet.down[e.action]]
        assert len(serving) == len({e.pool for e in serving})  # one at a time in each pool
        fleet.finish()
    assert len(fleet.done) > 20
    for entry in fleet.done:
        hour, hours = fleet.before(entry, HOUR), fleet.before(entry, 4 * HOUR)
        assert len(hour) <= 20
        assert sum(e.server == entry.server for e in hour) <= 6
        same = [e for e in lossy(hours) if (e.server, e.remediation) == (entry.server, entry.remediation)]
        assert len(same) <= 3
        touched = {e.server for e in lossy(hour) if e.pool == entry.pool}
        if entry in lossy([entry]) and not fleet.down[entry.action]:
            assert len(touched) <= max(2, min(5, POOLS[entry.pool] // 2))
