"""`fleet`: many servers in one process, each with its port, its engine and its failures; none has processes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace

from deploy.simulator.errors import NotPossible, OptionError
from deploy.simulator.failures.catalogue import find
from deploy.simulator.failures.state import MemoryState, take
from deploy.simulator.links import LocalLink
from deploy.simulator.loglines import Log
from deploy.simulator.options import ServerOptions
from deploy.simulator.phases import LOADING_AT
from deploy.simulator.processes.serve import SLOW_FACTOR
from deploy.simulator.server.background import start_background
from deploy.simulator.server.simserver import SimServer

FAILS = ("crash_loop", "gpu_lost")  # starts that end, at the moment when weights are loaded
RESTART_SECONDS = 5.0  # simulated, until one that has ended starts again, as under a supervisor


class Member:
    """One server through all of its starts."""

    def __init__(self, options: ServerOptions, siblings: Mapping[int, Member]) -> None:
        self.options = options
        self._siblings = siblings
        self._state = MemoryState()
        self._server: SimServer | None = None
        self._mended = asyncio.Event()

    @property
    def active(self) -> str:
        lasting = self._state.read()
        if self._server and self._server.active:
            return self._server.active
        return lasting.how if lasting else ""

    async def break_(self, how: str, times: int | None) -> str:
        find(how)
        if self._server is None:
            raise NotPossible(f"the server on port {self.options.port} is not up: wait, or mend it")
        return await self._server.break_(how, times)

    async def mend(self) -> None:
        self._state.write(None)
        self._mended.set()
        if self._server:
            await self._server.mend()

    async def keep(self) -> None:
        """Starts it again and again."""
        while True:
            failure = take(self._state)
            if await self._start(failure):
                await self._live(failure)
            await asyncio.sleep(self.options.clock.real(RESTART_SECONDS))

    async def _start(self, failure: str) -> bool:
        seconds = self.options.start_seconds * (SLOW_FACTOR if failure == "slow_start" else 1)
        if failure == "start_never_ends":
            self._mended.clear()
            await self._mended.wait()
        failed = failure in FAILS
        await asyncio.sleep(self.options.clock.real(seconds * (LOADING_AT if failed else 1)))
        return not failed

    async def _live(self, failure: str) -> None:
        options = self.options
        log = Log("APIServer", quiet=not options.access_log)
        link = LocalLink(options.engine, options.clock)
        server = SimServer(options, link, self._state, log, processes=False, siblings=self._siblings)
        await server.listen(_bind(options))
        background = start_background(options, server, log, failure)
        self._server = server
        try:
            await server.exited
        finally:
            self._server = None
            server.close(0)
            for task in background:
                task.cancel()


def fleet(options: ServerOptions, servers: int) -> int:
    """Until SIGTERM. `options` are those of the first; the others listen on the ports after it."""
    return asyncio.run(_run(options, servers))


async def _run(options: ServerOptions, servers: int) -> int:
    members: dict[int, Member] = {}
    for number in range(servers):
        own = replace(options, port=options.port + number, seed=options.seed + number)
        members[own.port] = Member(own, members)
    tasks = [asyncio.create_task(member.keep()) for member in members.values()]
    print(f"{servers} servers on {options.host}, ports {options.port} to {options.port + servers - 1}", flush=True)
    stopped = asyncio.create_task(_stopped())
    done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()  # raises what ended a server
    return 0


async def _stopped() -> None:
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    await event.wait()


def _bind(options: ServerOptions) -> socket.socket:
    """Raises OptionError."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
    except OSError as error:
        bound.close()
        raise OptionError(f"port {options.port}: {error.strerror}: choose another --first-port") from None
    return bound
