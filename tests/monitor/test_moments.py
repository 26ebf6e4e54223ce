"""What a process does just now, by the functions of its main thread; named as in vLLM 0.20 and 0.32."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.patience import wait_for
from vllm_monitor import moments
from vllm_monitor.moments import Moment


def seen(target: Callable[[], Any], inside: str, wake: Callable[[], Any]) -> Moment:
    """The moment of a thread that runs `target`, once it is in the function `inside`."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()

    def frame() -> Any:
        found = sys._current_frames().get(thread.ident or 0)
        names, one = [], found
        while one is not None:
            names.append(one.f_code.co_name)
            one = one.f_back
        return found if inside in names else None

    found = wait_for(frame)
    moment = moments.of(found)
    wake()
    thread.join(10)
    return moment


class Engine:
    """As EngineCoreProc."""

    def __init__(self) -> None:
        self.input_queue: queue.Queue[int] = queue.Queue()
        self.output = threading.Event()

    def run_busy_loop(self) -> None:
        self._process_input_queue()

    def _process_input_queue(self) -> None:
        self._handle_client_request(self.input_queue.get(block=True))

    def _handle_client_request(self, request: int) -> None:
        if request:
            self.dequeue()

    def step(self) -> None:
        self.dequeue()

    def dequeue(self) -> None:
        self.output.wait()


def run_busy_loop(engine: Engine) -> None:
    """An engine's loop in a step, which waits for its workers."""
    engine.step()


def worker_busy_loop(engine: Engine) -> None:
    """A worker's, which waits for the engine."""
    engine.dequeue()


def test_an_engine_that_waits_for_a_request_is_idle() -> None:
    engine = Engine()
    assert seen(engine.run_busy_loop, "get", lambda: engine.input_queue.put(0)) == Moment(serves=True, idle=True)


def test_an_engine_that_waits_for_its_workers_is_in_a_step() -> None:
    engine = Engine()
    assert seen(lambda: run_busy_loop(engine), "step", engine.output.set) == Moment(serves=True, idle=False)


def test_an_engine_that_does_what_a_client_asked_is_not_idle() -> None:
    engine = Engine()
    engine.input_queue.put(1)
    assert seen(engine.run_busy_loop, "dequeue", engine.output.set) == Moment(serves=True, idle=False)


def test_a_worker_that_waits_for_its_engine_is_idle() -> None:
    engine = Engine()
    assert seen(lambda: worker_busy_loop(engine), "dequeue", engine.output.set) == Moment(serves=True, idle=True)


def test_a_process_that_starts_does_not_serve() -> None:
    engine = Engine()
    assert seen(engine.dequeue, "dequeue", engine.output.set) == Moment(serves=False, idle=False)


def test_of_a_thread_that_has_ended_nothing_is_known() -> None:
    assert moments.of(None) == Moment(serves=False, idle=False)


def test_this_process_runs_no_loop_of_vllm() -> None:
    assert moments.now() == Moment(serves=False, idle=False)
