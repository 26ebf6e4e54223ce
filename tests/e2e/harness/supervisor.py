"""A real supervisord with one program, `vllm`: what a user would have before installing anything of this project."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sys
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.harness.processes import Part, in_session
from tests.e2e.harness.waiting import until

PROGRAM = "vllm"

_MAIN = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
nodaemon=true
logfile={logs}/supervisord.log
pidfile={run}/supervisord.pid
childlogdir={logs}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = {run}/supervisord.d/*.conf
"""

# startsecs: vLLM's API server is up long before it is ready; 1 s tells an instant failure from a start.
# stopwaitsecs is supervisord's default, said because the scenarios rely on it.
_PROGRAM = """\
[program:vllm]
command={command}
environment={environment}
directory={directory}
autostart=false
autorestart={autorestart}
startsecs=1
stopwaitsecs=10
stdout_logfile={log}
stdout_logfile_maxbytes=0
redirect_stderr=true
"""


@dataclass(frozen=True)
class Program:
    """How supervisord runs vLLM."""

    command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    autorestart: bool = True


@dataclass(frozen=True)
class ProgramInfo:
    """supervisord's getProcessInfo, as far as the harness needs it."""

    state: str  # RUNNING, STARTING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL
    pid: int  # 0 when it does not run
    started: int  # seconds since the epoch of the last start, 0: never


class Supervisor:
    """supervisord on a Unix socket below `run`."""

    def __init__(self, run: Path, logs: Path) -> None:
        self.socket = run / "supervisord.sock"
        self.vllm_log = logs / "vllm.log"
        self._run = run
        (run / "supervisord.d").mkdir(parents=True, exist_ok=True)
        config = run / "supervisord.conf"
        config.write_text(_MAIN.format(socket=self.socket, logs=logs, run=run))
        self.part = Part("supervisord", [*_supervisord(), "-c", str(config)], logs / "supervisord.out",
                         _environment(), run)  # fmt: skip

    @property
    def url(self) -> str:
        """As the healer's target option takes it."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        self.part.start()
        until("supervisord to listen", self._listens, 60)

    def stop(self) -> None:
        """Ends vLLM too: supervisord with SIGTERM stops its programs, and the session sweep takes what is left."""
        self.part.stop(grace=15)

    def set_program(self, program: Program) -> None:
        """Replaces the program's definition; a running vLLM is stopped first, the new one is not started."""
        text = _PROGRAM.format(
            command=program.command, directory=self._run, log=self.vllm_log,
            autorestart="true" if program.autorestart else "false",
            environment=",".join(f'{key}="{value}"' for key, value in program.environment.items()),
        )  # fmt: skip
        (self._run / "supervisord.d" / "vllm.conf").write_text(text)
        with contextlib.suppress(xmlrpc.client.Fault):  # not there the first time
            self.stop_program()
            self._rpc().supervisor.removeProcessGroup(PROGRAM)
        self._rpc().supervisor.reloadConfig()
        self._rpc().supervisor.addProcessGroup(PROGRAM)

    def start_program(self) -> None:
        self._rpc().supervisor.startProcess(PROGRAM, False)

    def stop_program(self) -> None:
        """As a person would: waits until it is stopped. Fine when it already is."""
        try:
            self._rpc().supervisor.stopProcess(PROGRAM, True)
        except xmlrpc.client.Fault as fault:
            if not fault.faultString.startswith("NOT_RUNNING"):
                raise

    def end_leftovers(self) -> None:
        """Stops the program and kills whatever else lives in supervisord's session: frozen engines, orphans."""
        self.stop_program()
        for stat in in_session(self.part.pid):
            if stat.pid != self.part.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stat.pid, signal.SIGKILL)

    def info(self) -> ProgramInfo:
        answer: dict[str, Any] = self._rpc().supervisor.getProcessInfo(PROGRAM)  # type: ignore[assignment]
        return ProgramInfo(str(answer["statename"]), int(answer["pid"]), int(answer["start"]))

    def spawns(self) -> int:
        """How often supervisord spawned the program, from its own log."""
        log = self.vllm_log.with_name("supervisord.log")
        return log.read_text().count(f"spawned: '{PROGRAM}'") if log.exists() else 0

    def _listens(self) -> bool:
        try:
            return bool(self._rpc().supervisor.getState())
        except OSError:
            return False

    def _rpc(self) -> xmlrpc.client.ServerProxy:
        """A proxy a call: a connection kept open would be closed by supervisord's idle handling."""
        return xmlrpc.client.ServerProxy("http://supervisor/RPC2", transport=_UnixTransport(str(self.socket)))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> _UnixConnection:
        return _UnixConnection(self._path)


def _supervisord() -> list[str]:
    """The one of this Python environment, else the machine's."""
    beside = Path(sys.executable).with_name("supervisord")
    return [str(beside)] if beside.exists() else ["supervisord"]


def _environment() -> dict[str, str]:
    """Without this test run's Python settings, which would confuse vLLM's own environment."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
