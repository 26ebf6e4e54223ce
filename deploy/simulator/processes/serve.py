"""`serve`: one server as a tree of processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass

from deploy.simulator.errors import StartFailed
from deploy.simulator.failures.state import open_state, take
from deploy.simulator.links import SocketLink, frame
from deploy.simulator.loglines import Log
from deploy.simulator.options import ServerOptions
from deploy.simulator.phases import Timeline, api_server_phases, listening_phases, uvicorn_lines
from deploy.simulator.processes.children import Child, fork
from deploy.simulator.processes.engine import ENGINE_READY, run_engine
from deploy.simulator.processes.squatter import leave_squatter
from deploy.simulator.server.background import start_background
from deploy.simulator.server.simserver import SimServer

SLOW_FACTOR = 10  # of the failure `slow_start`
TERMINATED = 143  # 128 + SIGTERM: ended while it was starting
ENGINE_GRACE = 3.0  # seconds from SIGTERM to SIGKILL for the engine, which ends its worker first


def serve(options: ServerOptions) -> int:
    """Until SIGTERM, or the engine's end. The exit status."""
    log = Log("APIServer")
    signal.signal(signal.SIGTERM, _terminated)
    engine: Child | None = None
    try:
        failure = take(open_state(options.state))
        timeline = Timeline(time.monotonic(), _start_seconds(options, failure))
        bound = _bind(options, log)
        timeline.play(api_server_phases(options), log)
        if failure == "gpu_lost":
            raise StartFailed("RuntimeError: Failed to infer device type, please set the environment variable")
        engine = fork(lambda theirs: run_engine(options, timeline, failure, theirs), bound)
        _wait_engine(engine)
        return asyncio.run(_run(options, failure, timeline, bound, engine, log))
    except StartFailed as error:
        log.error("entry.py:52", f"Traceback (most recent call last):\n{error}")
        return error.code
    finally:
        if engine:
            engine.end_within(ENGINE_GRACE)


def _start_seconds(options: ServerOptions, failure: str) -> float:
    return options.clock.real(options.start_seconds) * (SLOW_FACTOR if failure == "slow_start" else 1)


def _bind(options: ServerOptions, log: Log) -> socket.socket:
    """Early, as vLLM: a taken port fails in a moment, but nothing is accepted until the end. Raises StartFailed."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
    except OSError as error:
        raise StartFailed(f"OSError: [Errno {error.errno}] {error.strerror}") from None
    return bound


def _wait_engine(engine: Child) -> None:
    """Raises StartFailed."""
    ready = frame(ENGINE_READY)
    if engine.end.recv(len(ready)) != ready:
        raise StartFailed("RuntimeError: Engine core initialization failed. See root cause above.")


async def _run(
    options: ServerOptions, failure: str, timeline: Timeline, bound: socket.socket, engine: Child, log: Log
) -> int:
    link = SocketLink(engine.end)
    await link.connect()
    server = SimServer(options, link, open_state(options.state), log, processes=True)
    server.squatter = lambda: leave_squatter(options.host, options.port)
    loop = asyncio.get_running_loop()
    stop = _Stop(options, server, engine, log)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.begin)
    timeline.play(listening_phases(options, sorted(server.routes.table)), log)
    await server.listen(bound)
    for line in uvicorn_lines(os.getpid()):
        log.plain(line)
    background = start_background(options, server, log, failure)
    code = await server.exited
    for task in background:
        task.cancel()
    return code


@dataclass
class _Stop:
    """SIGTERM. A second one changes nothing, as with vLLM."""

    options: ServerOptions
    server: SimServer
    engine: Child
    log: Log
    task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self.task = self.task or asyncio.get_running_loop().create_task(self._stop())

    async def _stop(self) -> None:
        self.log.info("launcher.py:262", "[shutdown] API server: shutdown triggered")
        self.log.info("launcher.py:282", "[shutdown] API server: signalling HTTP server shutdown")
        await self.server.drain(self.options.shutdown_timeout, lambda: self.engine.signal(signal.SIGTERM))
        self.log.plain("INFO:     Application shutdown complete.")
        self.server.close(0)


def _terminated(*_: object) -> None:
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StartFailed("KeyboardInterrupt: terminated", TERMINATED)
