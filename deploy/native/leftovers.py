"""Leftovers: parts whose supervisord was killed. They live on, unsupervised, and hold their ports."""

from __future__ import annotations

import os
from collections.abc import Collection

import psutil

_TERM_SECONDS = 20.0  # as supervisord gives them: Prometheus writes its head to disk first


def find_leftovers(server_url: str, supervised: Collection[int] = ()) -> list[psutil.Process]:
    """Returns the processes that a supervisord at this URL started and that the present one does not know.

    supervisord marks each child by SUPERVISOR_SERVER_URL in its environment. A child of a supervised one carries the
    mark too and belongs to it.
    """
    marked = [
        process for process in psutil.process_iter() if _mark(process) == server_url and process.pid != os.getpid()
    ]
    return [process for process in marked if not {process.pid, *_ancestors(process)} & set(supervised)]


def stop_leftovers(processes: list[psutil.Process]) -> None:
    """Sends SIGTERM, then SIGKILL to what is left. psutil checks that a pid still is the process that it was."""
    for process in processes:
        _signal(process, force=False)
    _, alive = psutil.wait_procs(processes, timeout=_TERM_SECONDS)
    for process in alive:
        _signal(process, force=True)
    psutil.wait_procs(alive, timeout=_TERM_SECONDS)


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get("SUPERVISOR_SERVER_URL", "")
    except (psutil.Error, OSError):  # gone, or another user's
        return ""


def _ancestors(process: psutil.Process) -> set[int]:
    try:
        return {parent.pid for parent in process.parents()}
    except psutil.Error:
        return set()


def _signal(process: psutil.Process, force: bool) -> None:
    try:
        process.kill() if force else process.terminate()
    except psutil.NoSuchProcess:
        return
