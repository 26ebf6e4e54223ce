"""The faults, each from a ready server to its end. They break and watch; what must be true of it the tests say."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tests.e2e.harness import faults
from tests.e2e.harness.faults import Process, Tree
from tests.e2e.harness.journal_reader import Action
from tests.e2e.harness.load import Load
from tests.e2e.harness.processes import Stat, read_stat
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.timeline import Timeline, Watch
from tests.e2e.harness.vllm_server import SLOW_PROMPT, START_TIMEOUT
from tests.e2e.harness.waiting import until
from tests.e2e.harness.webhook import deliver, notification

DETECTED = 120.0  # seconds to the actuator call: twice the goal, so that a miss is measured and not only noticed
CLIENTS = 20  # in flight when a fault comes "under load"


@dataclass(frozen=True)
class Episode:
    """One fault and all that was done about it."""

    timeline: Timeline
    before: Tree  # the processes that were hit
    health_before: frozenset[int]  # what /health answered between fault and actuator call (or the end)
    spawns: int  # how often supervisord started the program after the fault
    actions: tuple[Action, ...]  # destructive ones in the journal

    def left_alive(self) -> list[Process]:
        """Of the processes that were hit."""
        return self.before.alive()


def stall_under_load(stack: Stack) -> Episode:
    """EngineCore frozen with requests in flight."""
    tree = stack.settle()
    with Load(stack.port, CLIENTS, seconds=600):
        time.sleep(5)  # so that progress was seen and requests are in flight
        return _until_healed(stack, "stall_under_load", tree, lambda: faults.freeze(tree.engine_core))


def stall_idle(stack: Stack) -> Episode:
    """EngineCore frozen while nobody asks for anything."""
    tree = stack.settle()
    return _until_healed(stack, "stall_idle", tree, lambda: faults.freeze(tree.engine_core))


def engine_killed(stack: Stack) -> Episode:
    """EngineCore killed under load; whether supervisord restarts it is the program's autorestart."""
    tree = stack.settle()
    with Load(stack.port, CLIENTS, seconds=600):
        time.sleep(3)
        return _until_healed(stack, "engine_killed", tree, lambda: faults.kill(tree.engine_core))


def api_server_killed(stack: Stack) -> Episode:
    """The API server alone killed: its engine and worker live on and hold their memory."""
    tree = stack.settle()
    return _until_healed(stack, "api_server_killed", tree, lambda: faults.kill(tree.api_server))


def healer_killed(stack: Stack) -> Episode:
    """The engine dies, the webhook comes three times, and the healer is killed between its intent and the result."""
    tree = stack.settle()

    def fault() -> None:
        faults.kill(tree.engine_core)
        body = until("VllmDown in Alertmanager", lambda: notification(stack, "VllmDown"), DETECTED, every=0.05)
        with ThreadPoolExecutor(1) as pool:
            killed = pool.submit(_kill_at_intent, stack)
            accepted = [deliver(stack, body), deliver(stack, body)]
            unfinished = killed.result()
        stack.healer.start()
        stack.wait_parts()
        accepted.append(deliver(stack, body))
        assert unfinished, "the healer was killed too late: its action had a result already"
        assert accepted[-1] == 200, f"the healer did not take the webhook again after its restart: {accepted}"

    return _until_healed(stack, "healer_killed", tree, fault)


def seconds_until_back(stack: Stack, tree: Tree, fault: Callable[[Tree], None], observed: float) -> float | None:
    """Without a healer: seconds from the fault to a completion by another incarnation, None when there was none."""
    with Load(stack.port, CLIENTS, seconds=observed + 60):
        time.sleep(3)
        began = time.monotonic()
        fault(tree)
        while time.monotonic() - began < observed:
            if _spawned(stack, tree) is not None and stack.server.completes(timeout=2):
                return time.monotonic() - began
            time.sleep(0.5)
    return None


def _kill_at_intent(stack: Stack) -> bool:
    """Whether the action had no result when the healer was gone."""
    number = stack.journal.wait_for_open_action(time.time() - DETECTED, DETECTED)
    stack.healer.kill()
    return any(action.id == number and not action.outcome for action in stack.journal.actions(0))


def engine_killed_autorestart(stack: Stack) -> Episode:
    """As engine_killed, where supervisord restarts it by itself."""
    episode = engine_killed(stack)
    return replace(episode, timeline=replace(episode.timeline, scenario="engine_killed_autorestart"))


def stopped_by_a_person(stack: Stack) -> Episode:
    """supervisorctl stop, and then a time in which nothing may happen: three times what VllmDown needs."""
    stack.settle()
    return _quiet(stack, "stopped_by_a_person", stack.supervisor.stop_program, 45, lambda: False)


def overload(stack: Stack, seconds: float) -> Episode:
    """200 clients with long requests on a batch of 64: more than 100 requests wait all the time."""
    stack.settle()
    with Load(stack.port, 200, seconds + 60, prompt_tokens=100, max_tokens=800):
        return _quiet(stack, "overload", lambda: None, seconds, lambda: False)


@dataclass(frozen=True)
class SlowPrefill:
    """An episode in which a server looked hung."""

    episode: Episode
    seconds_without_output: float  # the longest time in which no output counter moved
    canary_failures: int  # the exporter's, in a row
    answered: bool  # the request was answered in the end


def slow_prefill(stack: Stack) -> SlowPrefill:
    """One long prompt on a server with slow steps, until it is answered."""
    stack.settle()
    seen = _Seen()
    with Load(stack.port, 1, 240, prompt_tokens=SLOW_PROMPT, max_tokens=4, once=True) as load:
        episode = _quiet(stack, "slow_prefill", lambda: None, 240, lambda: seen.look(stack) or load.wait(0))
    time.sleep(10)  # two evaluations: an alert that the last steps caused would be seen now
    return SlowPrefill(episode, seen.longest, seen.failures, load.results == {"ok": 1})


class _Seen:
    """What the slow server showed."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.failures = 0
        self._output = -1.0
        self._since = time.monotonic()

    def look(self, stack: Stack) -> bool:
        """Always False, so that it can stand in a condition."""
        self.failures = max(self.failures, int(stack.exported("vllm_canary_consecutive_failures") or 0))
        output = stack.server.progress().get("vllm:generation_tokens_total", self._output)
        if output != self._output:
            self._output, self._since = output, time.monotonic()
        self.longest = max(self.longest, time.monotonic() - self._since)
        return False


def _quiet(stack: Stack, name: str, fault: Callable[[], None], seconds: float, done: Callable[[], bool]) -> Episode:
    """Breaks something, then only watches, for `seconds` or until `done`."""
    tree, spawns = faults.tree_of(stack.supervisor), stack.supervisor.spawns()
    with stack.watch() as watch:
        fault()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not done():
            time.sleep(0.5)
    return _episode(stack, name, tree, watch, spawns)


def _until_healed(stack: Stack, name: str, tree: Tree, fault: Callable[[], None]) -> Episode:
    spawns = stack.supervisor.spawns()
    with stack.watch() as watch:
        fault()
        within = DETECTED + START_TIMEOUT
        until("the incident to be closed as healed", lambda: stack.journal.healed(watch.fault), within)
    return _episode(stack, name, tree, watch, spawns)


def _episode(stack: Stack, name: str, tree: Tree, watch: Watch, spawns: int) -> Episode:
    actions = tuple(action for action in stack.journal.actions(watch.fault) if action.destructive)
    restart = next((action for action in actions if action.remediation == "restart_engine"), None)
    started = restart.started if restart else None
    spawned = _spawned(stack, tree)
    timeline = Timeline(
        name, watch.fault, dict(watch.alerts),
        intended=actions[0].at if actions else None,
        started=started,
        spawned=spawned,
        healthy=watch.healthy_after(spawned) if spawned else None,
        verified=stack.journal.healed(watch.fault),
    )  # fmt: skip
    health = frozenset(watch.statuses(started or time.time()))
    return Episode(timeline, tree, health, stack.supervisor.spawns() - spawns, actions)


def _spawned(stack: Stack, before: Tree) -> float | None:
    """When the present API server process began, if it is another than before."""
    stat = read_stat(stack.supervisor.info().pid)
    if stat is None or (stat.pid, stat.start_ticks) == (before.api_server.pid, before.api_server.start_ticks):
        return None
    return started_at(stat)


def started_at(stat: Stat) -> float:
    """Seconds since the epoch, from the start time in clock ticks of the boot-time clock."""
    ticks_per_second = 100  # USER_HZ, the same on every Linux that runs vLLM
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + stat.start_ticks / ticks_per_second
