"""What vLLM loads in each of its processes: API servers, engine cores and workers.

It starts no thread in the process from which vLLM forks others, which is where API servers begin: there the stat logger
and the middleware start it.
"""

from __future__ import annotations

import logging
import os
from multiprocessing import util

from vllm_monitor import exceptions, place
from vllm_monitor.commands import Mailbox
from vllm_monitor.memory_lever import NAME, MemoryLever
from vllm_monitor.process import Process, attach, this_process
from vllm_monitor.token_file import UnusableToken, read_token

LOGGER = logging.getLogger("vllm_monitor")

_loaded = False


def load() -> None:
    """Does nothing without the directory, and the second time. It raises nothing: that would end the server's start."""
    global _loaded
    if _loaded:
        return
    try:
        if place.directory() is None:
            if os.environ.get(place.PORT_VARIABLE):
                words = "vllm_monitor: %s is set, but %s is no directory that may be written: make it, or set %s"
                LOGGER.warning(words, place.PORT_VARIABLE, place.chosen(), place.VARIABLE)
            return
        _loaded = True
        attach(add_exceptions)
        attach(add_memory_lever)
        if os.environ.get(place.PORT_VARIABLE):
            from vllm_monitor.own_port import add_own_port  # here, because others need no HTTP server

            attach(add_own_port)
        util.register_after_fork(load, _forked)  # a forked engine or worker is not told to load plug-ins
        start()
    except Exception:
        LOGGER.exception("vllm_monitor: the plug-in could not start; the server is not affected")


def start() -> None:
    """Starts the thread of an engine core or a worker."""
    if place.own_role() in ("engine_core", "worker"):
        process = this_process()
        if process is not None:
            process.background.start()


def add_exceptions(process: Process) -> None:
    """Adds the count of exceptions that nobody catches."""
    exceptions.install(process.background)


def add_memory_lever(process: Process) -> None:
    """Adds the lever, which without a token says at the first command why it does not obey."""
    token = None
    try:
        token = read_token()
    except UnusableToken as error:
        LOGGER.warning("vllm_monitor: memory is not freed on command: %s", error)
    background = process.background
    mailbox = Mailbox(background.folder, NAME, token, background.port)
    background.add(MemoryLever(background.series, mailbox, place.own_role()))


def _forked(_: object) -> None:
    """Runs in each process that multiprocessing has forked from this one."""
    try:
        start()
    except Exception:
        LOGGER.exception("vllm_monitor: the plug-in could not start; the server is not affected")
