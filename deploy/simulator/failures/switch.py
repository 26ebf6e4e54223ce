"""Switches one server's failures on and off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from deploy.simulator.engine.driver import Tune
from deploy.simulator.errors import NotPossible
from deploy.simulator.failures.catalogue import Failure, find
from deploy.simulator.failures.state import Lasting, State
from deploy.simulator.frontend import Frontend
from deploy.simulator.load.client import Endpoint, Wish
from deploy.simulator.load.swarm import Swarm
from deploy.simulator.options import ServerOptions
from deploy.simulator.words import CHARACTERS, POISON

LEAK_STEP = 4 * 1024 * 1024  # bytes a second
LEAK_LIMIT = 512 * 1024 * 1024  # bytes; enough to be seen, too little to hurt the machine
PILL_PAUSE = 20.0  # simulated seconds between two poison requests: a client that tries again
QUEUE = 150  # requests beyond the batch that `saturate` keeps waiting; the alert is at 100


class Victim(Protocol):
    """The parts of a server that can be broken from inside."""

    unhealthy: bool
    corrupted: bool

    def leak(self, size: int) -> None:
        """So many bytes more; 0 gives all back."""
        ...

    def squat(self) -> None: ...

    def kill(self) -> None: ...


class Switch:
    """One failure at a time: the next replaces the one before."""

    def __init__(self, options: ServerOptions, frontend: Frontend, state: State, victim: Victim) -> None:
        self._options = options
        self._frontend = frontend
        self._state = state
        self._victim = victim
        self._swarm: Swarm | None = None
        self._leak: asyncio.Task[None] | None = None
        self.active = ""

    async def break_(self, how: str, times: int | None = None, goes_on: bool = False) -> Failure:
        """`goes_on`: from the process before this one. Raises UnknownFailure, NotPossible, EngineDead."""
        failure = find(how)
        if failure.lasting:
            self._state.write(Lasting(how, times))
        await self._clear()
        self.active = how
        self._frontend.send(failure.tune)
        await self._act(failure, goes_on)
        return failure

    async def mend(self) -> None:
        """Ends all failures, lasting ones too. A dead engine needs a restart all the same."""
        self._state.write(None)
        await self._clear()
        if not self._frontend.dead:
            self._frontend.send(Tune())

    def close(self) -> None:
        """Ends what runs on behalf of a failure."""
        if self._swarm:
            self._swarm.stop()
        if self._leak:
            self._leak.cancel()

    async def _clear(self) -> None:
        self.close()
        self._swarm, self._leak = None, None
        self._victim.unhealthy = self._victim.corrupted = False
        self._victim.leak(0)
        was, self.active = self.active, ""
        if was in ("paused", "asleep") and not self._frontend.dead:
            await (self._frontend.wake_up() if was == "asleep" else self._frontend.call("resume"))

    async def _act(self, failure: Failure, goes_on: bool) -> None:
        actions: dict[str, Callable[[], object]] = {
            "503": lambda: setattr(self._victim, "unhealthy", True),
            "corrupt": lambda: setattr(self._victim, "corrupted", True),
            "kill": self._victim.kill,
            "squat": self._victim.squat,
            "memory": self._start_leak,
            "many_clients": lambda: self._start_swarm(self._options.engine.max_num_seqs + QUEUE, self._long_answer),
            "aborting_clients": lambda: self._start_swarm(4, self._impatient, 0.5),
            "long_prompt": lambda: self._start_swarm(1, self._long_prompt),
            "pills": lambda: self._start_pills(goes_on),
        }
        if failure.action in actions:
            actions[failure.action]()
        elif failure.action == "paused":
            await self._frontend.call("pause", "keep")
        elif failure.action == "asleep":
            await self._frontend.sleep(1)

    def _start_pills(self, goes_on: bool) -> None:
        """A client that lives on while the server is started again: it is in its pause then."""
        pause = self._options.clock.real(PILL_PAUSE)
        self._start_swarm(1, self._pill, pause, first=pause if goes_on else 0.0)

    def _start_swarm(self, clients: int, wish: Callable[[int], Wish], pause: float = 0.0, first: float = 0.0) -> None:
        host = "127.0.0.1" if self._options.host in ("0.0.0.0", "::", "") else self._options.host
        target = Endpoint(host, self._options.port, self._options.model, self._options.api_key)
        self._swarm = Swarm(target, clients, wish, pause, first)

    def _long_answer(self, number: int) -> Wish:
        tokens = self._options.engine.max_model_len // 4
        return Wish(f"saturate {number}", min(400, tokens), stream=False)

    def _impatient(self, number: int) -> Wish:
        return Wish(f"leave early {number} ", 200, leave_after=3)

    def _long_prompt(self, number: int) -> Wish:
        """Unlike any before, or the prefix cache would answer at once."""
        tokens = self._options.engine.max_model_len - 2
        return Wish(f"{number:08d}" + "long" * (tokens - 8 // CHARACTERS), 1, stream=False)

    def _pill(self, number: int) -> Wish:
        return Wish(f"{POISON} {number}", 8, stream=False)

    def _start_leak(self) -> None:
        self._leak = asyncio.get_running_loop().create_task(self._keep_leaking())

    async def _keep_leaking(self) -> None:
        for _ in range(LEAK_LIMIT // LEAK_STEP):
            self._victim.leak(LEAK_STEP)
            await asyncio.sleep(self._options.clock.real(1.0))


def possible(failure: Failure, processes: bool) -> None:
    """Raises NotPossible for what needs processes of its own."""
    if failure.action in ("kill", "squat") and not processes:
        raise NotPossible(f"{failure.how} needs a server with processes of its own: use `serve` instead of `fleet`")
