"""The worker process. It computes nothing, but each step of the engine needs its answer: stop it and all hang."""

from __future__ import annotations

import os
import signal
import socket
import time

from deploy.simulator.loglines import Log
from deploy.simulator.options import ServerOptions
from deploy.simulator.phases import LOADING_AT, Timeline, worker_phases
from deploy.simulator.processes.title import set_title

READY, STEP, FAILED = b"r", b"s", b"f"


def run_worker(options: ServerOptions, timeline: Timeline, failure: str, end: socket.socket) -> int:
    """Until the engine is gone. The exit status."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    set_title("VLLM::Worker")
    log = Log("Worker")
    phases = worker_phases(options)
    timeline.play(tuple(phase for phase in phases if phase.at < LOADING_AT), log)
    if failure == "start_never_ends":
        time.sleep(float(1 << 31))
    if failure == "crash_loop":
        return _fail(timeline, log, end)
    timeline.play(tuple(phase for phase in phases if phase.at >= LOADING_AT), log)
    end.sendall(READY)
    while end.recv(1):
        end.sendall(STEP)
    log.info("multiproc_executor.py:911", "Parent process exited, terminating worker queues")
    return 0


def _fail(timeline: Timeline, log: Log, end: socket.socket) -> int:
    time.sleep(timeline.left(LOADING_AT))
    words = (
        "WorkerProc failed to start.",
        "Traceback (most recent call last):",
        '  File "vllm/model_executor/model_loader/weight_utils.py", line 1244, in safetensors_weights_iterator',
        "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
    )
    log.error("multiproc_executor.py:987", "\n".join(words))
    end.sendall(FAILED)
    return 1


def exit_words(status: int) -> str:
    """Returns vLLM's report of a worker's end: exit code, or minus the signal."""
    code = os.waitstatus_to_exitcode(status)
    return f"Worker proc VllmWorker-0 died unexpectedly (exit code: {code})"
