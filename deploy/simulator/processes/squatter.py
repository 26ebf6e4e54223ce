"""Another program on the server's port, for the failure `port_conflict`."""

from __future__ import annotations

import os
import signal
import socket
import time

from deploy.simulator.processes.title import set_title

TITLE = "another-program"
SECONDS = 60.0  # then the port is free again
WAIT = 10.0  # seconds until the server must have ended


def leave_squatter(host: str, port: int) -> None:
    """A child that outlives this process: it takes the port as soon as that is free, and ends by itself."""
    if os.fork():
        return
    try:
        os.setsid()
        set_title(TITLE)  # else it would look like a vLLM that has lost its parent
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.closerange(3, 1024)  # among them the listening socket, which would keep the port alive
        _hold(host, port)
    finally:
        os._exit(0)


def _hold(host: str, port: int) -> None:
    deadline = time.monotonic() + WAIT
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while time.monotonic() < deadline:
            try:
                taken.bind((host, port))
                break
            except OSError:
                time.sleep(0.02)
        taken.listen()
        time.sleep(SECONDS)
