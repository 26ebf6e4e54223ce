"""Starting a child that shares a socket with its parent, and ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Child:
    """A process and this side of its socket."""

    pid: int
    end: socket.socket

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def reap(self) -> int | None:
        """Its wait status once it has ended, None while it lives. It must not have been reaped before."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return status if pid else None

    def end_within(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL for one that does not heed it."""
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        with contextlib.suppress(ChildProcessError):
            while self.reap() is None:
                if time.monotonic() > deadline:
                    self.signal(signal.SIGKILL)
                time.sleep(0.01)


def fork(run: Callable[[socket.socket], int], *inherited: socket.socket) -> Child:
    """`run` gets its side of the socket and returns the exit status. `inherited` sockets are closed in the child."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return Child(pid, ours)
    status = 1
    try:
        ours.close()
        for other in inherited:
            other.close()
        status = run(theirs)
    except KeyboardInterrupt:
        status = 130
    finally:
        os._exit(status)  # not back into the parent's code
