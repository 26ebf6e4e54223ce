"""One simulated API server: an engine's front end behind HTTP, its failures, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus

from deploy.simulator.engine.driver import Death
from deploy.simulator.failures.catalogue import find
from deploy.simulator.failures.state import State
from deploy.simulator.failures.switch import Switch, possible
from deploy.simulator.frontend import Frontend
from deploy.simulator.links import EngineLink
from deploy.simulator.loglines import Log, log_death, log_engine_gone
from deploy.simulator.metrics.recorder import Recorder, cache_labels
from deploy.simulator.metrics.registry import Registry
from deploy.simulator.options import ServerOptions
from deploy.simulator.server.completions import Completions
from deploy.simulator.server.connection import Connection, Service
from deploy.simulator.server.control import PREFIX, Breakable, Control
from deploy.simulator.server.http1 import Answer, HttpRequest
from deploy.simulator.server.management import Management
from deploy.simulator.server.probes import Probes
from deploy.simulator.server.routes import Handler, Routes
from deploy.simulator.server.wording import engine_dead

# Simulated seconds until a server whose engine is gone ends, as measured on vLLM: almost at once with requests in
# flight, else when its watchdog looks.
END_BUSY = 0.5
END_IDLE = 4.0


class SimServer:
    """`processes`: this process is the API server alone, the engine has its own. `siblings`: by port."""

    unhealthy = False  # of the failure `503`

    def __init__(
        self,
        options: ServerOptions,
        link: EngineLink,
        state: State,
        log: Log,
        processes: bool,
        siblings: Mapping[int, Breakable] | None = None,
    ) -> None:
        self._options = options
        self._log = log
        self._processes = processes
        self._siblings = siblings or {}
        self._leaked: list[bytes] = []
        self._pretended = 0  # bytes
        self._registry = Registry(options.model, cache_labels(options.engine))
        recorder = self._recorder = Recorder(self._registry)
        self.frontend = Frontend(link, recorder, self._engine_died, options.clock.real(options.request_seconds))
        self._switch = Switch(options, self.frontend, state, self)
        self._completions = Completions(options, self.frontend)
        self.routes = Routes(self._table(), options.api_key)
        self._service = Service(self._handle, self._observe)
        self._server: asyncio.Server | None = None
        self.squatter: Callable[[], None] = lambda: None  # takes the port once this process has ended
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def active(self) -> str:
        return self._switch.active

    @property
    def corrupted(self) -> bool:
        return self._completions.corrupted

    @corrupted.setter
    def corrupted(self, value: bool) -> None:
        self._completions.corrupted = value

    async def listen(self, bound: socket.socket) -> None:
        """Accepts from now on."""
        self.frontend.start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self._service), sock=bound, backlog=2048)

    async def break_(self, how: str, times: int | None, goes_on: bool = False) -> str:
        possible(find(how), self._processes)
        failure = await self._switch.break_(how, times, goes_on)
        return failure.words

    async def mend(self) -> None:
        await self._switch.mend()

    def leak(self, size: int) -> None:
        """Real memory where the process is this server's alone; one among many only says so."""
        if size == 0:
            self._leaked.clear()
            self._pretended = 0
        elif self._processes:
            self._leaked.append(b"x" * size)
        else:
            self._pretended += size

    def squat(self) -> None:
        self.squatter()

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def stop_listening(self) -> None:
        """Not before the loop's next round: asyncio would leave what it has just accepted open and unread for ever."""
        if self._server:
            asyncio.get_running_loop().call_soon(self._server.close)

    async def drain(self, timeout: float, end_engine: Callable[[], None]) -> None:
        """SIGTERM: with a timeout requests may finish; without one vLLM kills its engine and waits for the clients."""
        self._switch.close()
        if timeout > 0:
            await self._wait_idle(timeout)
        self.stop_listening()
        if not self.frontend.dead:
            self.frontend.close()
        end_engine()
        if timeout <= 0:
            await self._wait_idle(None)

    def close(self, code: int) -> None:
        """Closes at once: all connections are cut."""
        self._switch.close()
        self.stop_listening()
        self._service.closed = True
        for connection in list(self._service.connections):
            connection.abort()
        if not self.exited.done():
            self.exited.set_result(code)

    async def _wait_idle(self, timeout: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._service.busy:
                    await asyncio.sleep(0.02)

    def _engine_died(self, death: Death | None) -> None:
        """503 for a moment, then the end. Only `crash` ends with a code that says so."""
        if death and not self._processes:
            log_death(self._log, death)
        busy = self.frontend.in_flight
        log_engine_gone(self._log, busy)
        loop = asyncio.get_running_loop()
        wait = self._options.clock.real(END_BUSY if busy else END_IDLE)
        loop.call_later(wait, self.close, 1 if death == "fatal" else 0)

    def _table(self) -> dict[tuple[str, str], Handler]:
        probes = Probes(
            self._options,
            self._registry,
            healthy=lambda: not (self.unhealthy or self.frontend.dead),
            in_flight=lambda: self.frontend.in_flight,
            extra_bytes=lambda: self._pretended,
        )
        completions: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/completions"): self._guarded(self._completions.complete),
            ("POST", "/v1/chat/completions"): self._guarded(self._completions.chat),
        }
        management = Management(self._options, self.frontend, self._log).table()
        return {
            **probes.table(),
            **completions,
            **(management if self._options.dev_mode else {}),
            **Control(self, self._siblings).table(),
        }

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: HttpRequest) -> Answer:
            if self.unhealthy:
                raise engine_dead()
            return await handler(request)

        return answer

    async def _handle(self, request: HttpRequest) -> Answer:
        return await self.routes.handle(request)

    def _observe(self, request: HttpRequest, status: int, seconds: float, sent: int) -> None:
        if request.path.startswith(PREFIX):
            return
        received = int(request.headers.get("content-length", "0"))
        self._recorder.http(self.routes.name(request.path), request.method, status, seconds, sent, received)
        if self._options.access_log:
            self._log.access(request.peer, request.method, request.path, status, HTTPStatus(status).phrase)
