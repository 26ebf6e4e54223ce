"""supervisord: a client of its XML-RPC interface on a unix socket, as far as it is needed here."""

from __future__ import annotations

import http.client
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass

from supervisor.xmlrpc import SupervisorTransport

from deploy.errors import NativeError
from deploy.native.layout import Layout

RUNNING = ("STARTING", "RUNNING", "BACKOFF")  # states in which supervisord runs the program, or will try again
_ANSWER_SECONDS = 10.0  # supervisord listens within a tenth of a second; a busy machine needs longer
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessState:
    """One program as supervisord sees it."""

    name: str
    state: str  # RUNNING, STARTING, BACKOFF, FATAL, EXITED, STOPPED …
    pid: int  # 0 when there is none
    uptime: float  # seconds; 0 when it does not run
    error: str  # why it could not be spawned, or ''


@dataclass(frozen=True)
class Applied:
    """Names of the programs that a changed supervisord.conf started, restarted or stopped."""

    started: tuple[str, ...]
    restarted: tuple[str, ...]
    stopped: tuple[str, ...]


class Supervisor:
    """A client. Each method raises NativeError when supervisord refuses or does not answer."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def pid(self) -> int:
        """Returns 0 when no supervisord answers: never started, stopped, or killed and its socket left behind."""
        try:
            return int(str(self._call("getPID")))
        except NativeError:
            return 0

    def start(self, environ: Mapping[str, str]) -> None:
        """Starts supervisord and returns when it answers."""
        command = [str(self._layout.program("supervisord")), "-c", str(self._layout.conf)]
        done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NativeError(f"supervisord did not start: {(done.stderr or done.stdout).strip()[-500:]}")
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self.pid():
            if time.monotonic() > deadline:
                log = self._layout.log("supervisord")
                raise NativeError(f"supervisord started and does not answer after {_ANSWER_SECONDS:.0f} s: see {log}")
            time.sleep(_POLL_SECONDS)

    def processes(self) -> tuple[ProcessState, ...]:
        listed = self._call("getAllProcessInfo")
        return tuple(parse_process(info) for info in listed) if isinstance(listed, list) else ()

    def states(self) -> dict[str, str]:
        """Returns program -> state."""
        return {one.name: one.state for one in self.processes()}

    def apply(self) -> Applied:
        """Reads supervisord.conf again and restarts the programs that changed in it, and no others."""
        added, changed, removed = self._reload()
        for name in (*changed, *removed):
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            self._call("addProcessGroup", name)
        return Applied(tuple(added), tuple(changed), tuple(removed))

    def start_process(self, name: str) -> None:
        """Starts a program and does not wait for it."""
        self._call("startProcess", name, False)

    def stop_process(self, name: str) -> None:
        """Stops a program and returns when it has ended."""
        self._call("stopProcess", name)

    def reload(self, name: str) -> None:
        """Sends SIGHUP."""
        self._call("signalProcess", name, "HUP")

    def shutdown(self) -> None:
        """Tells supervisord to stop every program and then itself. Returns at once."""
        self._call("shutdown")

    def _reload(self) -> tuple[list[str], list[str], list[str]]:
        match self._call("reloadConfig"):
            case [[list(added), list(changed), list(removed)]]:
                return added, changed, removed
            case answer:
                raise NativeError(f"supervisord answered {answer!r} to reloadConfig")

    def _call(self, method: str, *arguments: object) -> object:
        try:
            answer: object = getattr(self._connect().supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise NativeError(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            raise NativeError(f"supervisord does not answer on {self._layout.socket}: {error}") from error
        return answer

    def _connect(self) -> xmlrpc.client.ServerProxy:
        """Makes a new client for each call: supervisor's transport does not recover from a call that failed."""
        transport = SupervisorTransport(None, None, self._layout.server_url)
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport)


def parse_process(info: Mapping[str, object]) -> ProcessState:
    """Reads one entry of getAllProcessInfo."""
    state, pid = str(info["statename"]), int(str(info["pid"]))
    uptime = float(str(info["now"])) - float(str(info["start"])) if pid else 0.0
    return ProcessState(str(info["name"]), state, pid, max(0.0, uptime), str(info["spawnerr"]))
