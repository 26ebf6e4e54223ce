"""The EngineCore process: the driver's loop, between the API server's socket and the worker's."""

from __future__ import annotations

import contextlib
import select
import signal
import socket

from deploy.simulator.engine.driver import Call, Driver, Output
from deploy.simulator.links import frame, take_frames
from deploy.simulator.loglines import Log, log_death
from deploy.simulator.options import ServerOptions
from deploy.simulator.phases import Timeline, engine_phases, ready_phases
from deploy.simulator.processes.children import Child, fork
from deploy.simulator.processes.title import set_title
from deploy.simulator.processes.worker import READY, STEP, exit_words, run_worker

# Real seconds between two looks at the clock; steps of a small model take 4 ms. One server can afford it.
FINEST = 0.001
SLACK = 0.05  # real seconds that this process may be late without the engine losing the time

ENGINE_READY = "ready"  # the first frame to the API server

# Seconds that the worker gets to end; vLLM gives it a few more.
WORKER_GRACE = 2.0


class _StopRequested(Exception):
    """SIGTERM."""


class _WorkerLost(Exception):
    """The words say how."""


def run_engine(options: ServerOptions, timeline: Timeline, failure: str, end: socket.socket) -> int:
    """Until SIGTERM or a death. When the API server is gone it stays, as vLLM's does. The exit status."""
    signal.signal(signal.SIGTERM, _on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API server ends this process
    set_title("VLLM::EngineCore")
    log = Log("EngineCore")
    worker: Child | None = None
    try:
        timeline.play(engine_phases(options), log)
        worker = fork(lambda theirs: run_worker(options, timeline, failure, theirs), end)
        if worker.end.recv(1) != READY:
            log.error("core.py:1377", "EngineCore failed to start.\nException: WorkerProc initialization failed.")
            return 1
        timeline.play(ready_phases(options), log)
        end.sendall(frame(ENGINE_READY))
        return EngineProcess(options, end, worker, log).run()
    except _StopRequested:
        return _shut_down(log)
    finally:
        if worker:
            worker.end_within(WORKER_GRACE)


class EngineProcess:
    """One look at both sockets after the other."""

    def __init__(self, options: ServerOptions, end: socket.socket, worker: Child, log: Log) -> None:
        self._clock = options.clock
        self._driver = Driver(options.engine, slack=SLACK * options.speed)
        self._patience = options.execute_timeout
        self._end: socket.socket | None = end
        self._worker = worker
        self._log = log
        self._buffer = bytearray()

    def run(self) -> int:
        try:
            while True:
                output = self._turn()
                self._say(output)
                if output.death:
                    log_death(self._log, output.death)
                    return 1
        except _WorkerLost as lost:
            words = f"{lost}\nEngineCore encountered a fatal error.\nRuntimeError: Executor failed."
            self._log.error("core.py:1421", words)
            return 1

    def _turn(self) -> Output:
        ready, _, _ = select.select([*filter(None, (self._end, self._worker.end))], [], [], self._wait())
        if self._worker.end in ready:
            raise _WorkerLost(self._worker_words())
        if self._end in ready:
            self._listen()
        if self._driver.busy:
            self._ask_worker()
        return self._driver.advance(self._clock.now())

    def _wait(self) -> float | None:
        """Real seconds until there is something to do; None: until something comes."""
        wake = self._driver.wake_at
        if wake is not None:
            return max(FINEST, self._clock.real(wake - self._clock.now()))
        return FINEST if self._driver.busy else None

    def _listen(self) -> None:
        assert self._end
        data = b""
        with contextlib.suppress(ConnectionError):
            data = self._end.recv(1 << 16)
        if not data:
            self._end = None  # the API server was killed: an orphan goes on, with nobody to talk to
            return
        self._buffer += data
        for message in take_frames(self._buffer):
            if isinstance(message, Call) and message.name == "check_health" and not self._driver.frozen:
                self._ask_worker()
            self._driver.handle(message, self._clock.now())

    def _ask_worker(self) -> None:
        """Waits for the worker as each step of vLLM's engine does, with the same time limit."""
        self._worker.end.settimeout(self._patience)
        try:
            self._worker.end.sendall(STEP)
            answer = self._worker.end.recv(1)
        except TimeoutError:
            raise _WorkerLost("TimeoutError: RPC call to sample_tokens timed out.") from None
        except ConnectionError:
            answer = b""
        if not answer:
            raise _WorkerLost(self._worker_words())

    def _worker_words(self) -> str:
        self._worker.end.close()
        status = self._worker.reap()
        return exit_words(status if status is not None else signal.SIGKILL)

    def _say(self, output: Output) -> None:
        if output and self._end:
            with contextlib.suppress(ConnectionError):
                self._end.sendall(frame(output))


def _on_term(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the end
    raise _StopRequested


def _shut_down(log: Log) -> int:
    log.info("core.py:1454", "[shutdown] EngineCore: trigger received signal=SIGTERM")
    log.info("core.py:1635", "[shutdown] EngineCore: start mode=abort timeout=0s")
    log.info("core.py:1666", "[shutdown] EngineCore: request processing complete; starting resource teardown")
    log.info("multiproc_executor.py:479", "[shutdown] Executor: waiting for worker exit count=1")
    log.info("core.py:1499", "[shutdown] EngineCore: exiting busy loop")
    return 0
