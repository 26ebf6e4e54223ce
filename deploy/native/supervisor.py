"""supervisord's XML-RPC interface over its unix socket, as far as it is needed here."""

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

RUNNING = ("STARTING", "RUNNING", "BACKOFF")  # supervisord is at it
_ANSWER_SECONDS = 10.0  # supervisord listens within a tenth of a second; a busy machine needs longer
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessState:
    """One part as supervisord sees it."""

    name: str
    state: str  # RUNNING, STARTING, BACKOFF, FATAL, EXITED, STOPPED …
    pid: int  # 0 when there is none
    uptime: float  # seconds; 0 when it does not run
    error: str  # why it could not be spawned, or ''


@dataclass(frozen=True)
class Applied:
    """What a changed supervisord.conf led to."""

    started: tuple[str, ...]
    restarted: tuple[str, ...]
    stopped: tuple[str, ...]


class Supervisor:
    """A client. Each method raises NativeError when supervisord refuses or is not there."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def pid(self) -> int:
        """0 when no supervisord answers: never started, stopped, or killed and its socket left behind."""
        try:
            return int(str(self._call("getPID")))
        except NativeError:
            return 0

    def start(self, environ: Mapping[str, str]) -> None:
        """Returns when it answers."""
        command = [str(self._layout.program("supervisord")), "-c", str(self._layout.conf)]
        done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NativeError(f"supervisord did not start: {(done.stderr or done.stdout).strip()[-500:]}")
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self.pid():
            if time.monotonic() > deadline:
                raise NativeError(f"supervisord does not answer: see {self._layout.log('supervisord')}")
            time.sleep(_POLL_SECONDS)

    def processes(self) -> tuple[ProcessState, ...]:
        listed = self._call("getAllProcessInfo")
        return tuple(parse_process(info) for info in listed) if isinstance(listed, list) else ()

    def apply(self) -> Applied:
        """Re-reads supervisord.conf and restarts what changed in it, and nothing else."""
        added, changed, removed = self._reload()
        for name in (*changed, *removed):
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            self._call("addProcessGroup", name)
        return Applied(tuple(added), tuple(changed), tuple(removed))

    def start_process(self, name: str) -> None:
        self._call("startProcess", name, False)

    def stop_process(self, name: str) -> None:
        """Returns when it is stopped."""
        self._call("stopProcess", name)

    def reload(self, name: str) -> None:
        """SIGHUP."""
        self._call("signalProcess", name, "HUP")

    def shutdown(self) -> None:
        """Stops every part, then itself; returns at once."""
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
            raise NativeError(f"supervisord: {method}{arguments}: {fault.faultString}") from fault
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            raise NativeError(f"supervisord does not answer on {self._layout.socket}: {error}") from error
        return answer

    def _connect(self) -> xmlrpc.client.ServerProxy:
        """A new one for each call: supervisor's transport does not recover from a call that failed."""
        transport = SupervisorTransport(None, None, self._layout.server_url)
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport)


def parse_process(info: Mapping[str, object]) -> ProcessState:
    """One entry of getAllProcessInfo."""
    state, pid = str(info["statename"]), int(str(info["pid"]))
    uptime = float(str(info["now"])) - float(str(info["start"])) if pid else 0.0
    return ProcessState(str(info["name"]), state, pid, max(0.0, uptime), str(info["spawnerr"]))
