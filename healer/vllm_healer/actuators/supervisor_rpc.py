"""supervisord's XML-RPC, over HTTP or a unix socket: calls with a timeout, answers as values, faults by name."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shlex
import socket
import xmlrpc.client
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from xml.parsers.expat import ExpatError

from vllm_healer.actuators.listeners import Listener, is_here, listening
from vllm_healer.actuators.processes import PROC
from vllm_healer.actuators.unix_http import MAX_BODY, SCHEME
from vllm_healer.actuators.unreachable import Unmanaged, Unreachable
from vllm_healer.errors import Blind, PermanentError, TemporaryError
from vllm_healer.model import RunState, Target
from vllm_healer.net.connection import BoundedConnection, Opener, open_tcp, open_unix
from vllm_healer.net.http_config import read_secret
from vllm_healer.printable import shown

TIMEOUT = 5.0  # seconds for one call; supervisord answers in milliseconds, and all calls here return at once

# http://supervisord.org/subprocess.html#process-states
STATES = {
    0: RunState.STOPPED,
    10: RunState.STARTING,
    20: RunState.RUNNING,
    30: RunState.STARTING,  # BACKOFF: it ended too early and supervisord starts it again
    40: RunState.STOPPING,
    100: RunState.EXITED,
    200: RunState.FATAL,
}


_LARGEST = 2**53  # what a float holds exactly; NaN is not below it either

# What xmlrpc.client raises when nothing, or nothing of sense, comes back; its parser trusts the other side.
_GARBAGE = (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError, ValueError, LookupError, TypeError)


class Fault(IntEnum):
    """The codes of supervisor.xmlrpc.Faults that mean something here."""

    SHUTDOWN_STATE = 6
    BAD_NAME = 10
    NO_FILE = 20
    NOT_EXECUTABLE = 21
    ALREADY_STARTED = 60
    NOT_RUNNING = 70


@dataclass(frozen=True)
class Info:
    """The answer of getProcessInfo, as far as it is used. Times are seconds since the epoch on supervisord's host."""

    state: RunState
    word: str  # supervisord's own name of the state
    pid: int  # 0 without a process
    start: float
    stop: float
    now: float
    trouble: str  # spawn error


class Supervisor:
    """One program of one supervisord. A new connection for each call: nothing is shared between threads."""

    def __init__(
        self, target: Target, timeout: float = TIMEOUT, trusted: frozenset[int] | None = None, proc: Path = PROC
    ) -> None:
        """`trusted`: users whose TCP port of this host is believed to be supervisord's; root and us unless given."""
        self.here = True  # False once a connection has shown that it is on another host, or in another network
        self.listeners: tuple[Listener, ...] = ()  # on its TCP port here, as the last connection has shown
        self._trusted = trusted if trusted is not None else frozenset({0, os.geteuid()})
        self._proc = proc
        self._url = target.options.get("url", "")
        self.program = target.options.get("program", "")
        self._username = target.options.get("username", "")
        self._password_file = target.options.get("password_file", "")
        self._timeout = timeout

    @property
    def uids(self) -> frozenset[int]:
        """The users who listen on its TCP port here."""
        return frozenset(listener.uid for listener in self.listeners)

    @property
    def is_local_socket(self) -> bool:
        return self._url.startswith(SCHEME)

    def info(self) -> Info:
        return parse_info(self._call("getProcessInfo", self.program), self._url)

    def pid(self) -> int:
        """The pid of supervisord itself, in its own PID namespace."""
        pid = self._call("getPID")
        return pid if isinstance(pid, int) else 0

    def config(self) -> dict[str, object]:
        """The program's own entry of the configuration; {} when supervisord does not tell it."""
        try:
            return parse_config(self._call("getAllConfigInfo"), self.program)
        except xmlrpc.client.Fault:
            return {}

    def stop(self) -> None:
        """Has SIGTERM sent now and SIGKILL after stopwaitsecs; supervisord starts it again only when told to."""
        self._command("stopProcess", Fault.NOT_RUNNING)

    def start(self) -> None:
        self._command("startProcess", Fault.ALREADY_STARTED)

    def _command(self, method: str, fine: Fault) -> None:
        try:
            self._call(method, self.program, False)  # False: do not wait
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == fine:
                return
            words = f"supervisord at {self._url}: {method} {self.program}: {fault.faultString}"
            if fault.faultCode in (Fault.NO_FILE, Fault.NOT_EXECUTABLE):
                raise PermanentError(f"{words}; correct its command and run supervisorctl update") from fault
            raise TemporaryError(words) from fault

    def _call(self, method: str, *arguments: str | bool) -> object:
        """Raises Unreachable, Unmanaged, or xmlrpc.client.Fault for what the caller may know better."""
        try:
            answer: object = getattr(self._proxy().supervisor, method)(*arguments)
            return answer
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Fault.BAD_NAME:
                raise self._unknown_program() from fault
            if fault.faultCode == Fault.SHUTDOWN_STATE:
                raise Unreachable(f"supervisord at {self._url} is shutting down") from fault
            raise
        except xmlrpc.client.ProtocolError as error:
            raise self._refused(error) from error
        except _GARBAGE as error:
            words = str(error) or type(error).__name__
            raise Unreachable(f"supervisord at {self._url} did not answer {method}: {words}") from error

    def _refused(self, error: xmlrpc.client.ProtocolError) -> Unreachable | Unmanaged:
        answered = f"supervisord at {self._url} answered HTTP {error.errcode} {error.errmsg}"
        if error.errcode in (401, 403):
            return Unmanaged(f"{answered}; check username and password_file")
        return Unreachable(answered)

    def _unknown_program(self) -> Unmanaged:
        try:
            programs = self._call("getAllProcessInfo")
        except xmlrpc.client.Fault:
            programs = []
        known = ", ".join(parse_names(programs)) or "none"
        return Unmanaged(f"supervisord at {self._url} has no program {self.program!r}; known: {known}")

    def _proxy(self) -> xmlrpc.client.ServerProxy:
        path = self._url.removeprefix(SCHEME) if self.is_local_socket else ""
        url = "http://localhost/RPC2" if path else _with_path(self._url)
        opener = partial(open_unix, path) if path else partial(self._open, urlsplit(url))
        return xmlrpc.client.ServerProxy(url, transport=_Transport(opener, self._timeout, self._headers()))

    def _open(self, url: SplitResult, deadline: float) -> socket.socket:
        """Connects, and sends nothing yet: on this host any user may have taken the port. Raises Unmanaged then."""
        connected = open_tcp(url.hostname or "", url.port or 80, False, "", deadline)
        self.listeners = listening(connected, self._proc) if is_here(connected) else ()
        self.here = bool(self.listeners)
        strangers = self.uids - self._trusted
        if strangers:
            connected.close()
            users = ", ".join(str(uid) for uid in sorted(strangers))
            taken = f"the port of supervisord at {self._url} was taken by user {users}"
            raise Unmanaged(
                f"{taken}, who is neither root nor the healer's nor the server's user: nothing was sent to it; "
                "have supervisord listen on a unix socket"
            )
        return connected

    def _headers(self) -> list[tuple[str, str]]:
        if not self._username:
            return []
        try:
            password = read_secret(self._password_file, "password_file")
        except Blind as error:
            raise Unmanaged(str(error)) from error
        pair = base64.b64encode(f"{self._username}:{password}".encode()).decode("ascii")
        return [("Authorization", f"Basic {pair}")]


def parse_info(answer: object, url: str) -> Info:
    """The state of a process. Raises Unreachable when the answer is not one of getProcessInfo."""
    if not isinstance(answer, dict):
        raise Unreachable(f"supervisord at {url} answered {shown(answer)} instead of a process's state")
    values: dict[str, object] = answer
    state = values.get("state")
    return Info(
        state=STATES.get(state, RunState.UNKNOWN) if isinstance(state, int) else RunState.UNKNOWN,
        word=str(values.get("statename", "")),
        pid=int(_number(values.get("pid"))),
        start=_number(values.get("start")),
        stop=_number(values.get("stop")),
        now=_number(values.get("now")),
        trouble=str(values.get("spawnerr") or ""),
    )


def parse_config(answer: object, program: str) -> dict[str, object]:
    """The program's entry of getAllConfigInfo; {} when it is not there."""
    for entry in _structs(answer):
        if program in (entry.get("name"), f"{entry.get('group')}:{entry.get('name')}"):
            return entry
    return {}


def parse_autorestart(config: dict[str, object]) -> bool | None:
    """True if an engine that died (exit code 0) is restarted. No release up to 4.3 tells; then it is None."""
    word = str(config.get("autorestart")).lower()
    expected = str(config.get("exitcodes", "[0]"))
    return {"true": True, "false": False, "unexpected": not re.search(r"\b0\b", expected)}.get(word)


def parse_program_file(config: dict[str, object]) -> str:
    """The path of the file that a start would run; '' when it is not told, or looked for in supervisord's PATH."""
    try:
        words = shlex.split(str(config.get("command", "")))
    except ValueError:  # a quote that is not closed
        return ""
    return words[0] if words and words[0].startswith("/") else ""


def parse_names(answer: object) -> tuple[str, ...]:
    """The programs' names as healer.yml writes them: with the group only where it differs."""
    return tuple(sorted(_name(str(entry.get("group")), str(entry.get("name"))) for entry in _structs(answer)))


def _structs(answer: object) -> list[dict[str, object]]:
    return [entry for entry in answer if isinstance(entry, dict)] if isinstance(answer, list) else []


def _name(group: str, name: str) -> str:
    return name if group == name else f"{group}:{name}"


def _number(value: object) -> float:
    """The number; 0 for what is none, or larger than any pid or time."""
    return float(value) if isinstance(value, int | float) and abs(value) < _LARGEST else 0.0


def _with_path(url: str) -> str:
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + "/RPC2"


class _Transport(xmlrpc.client.Transport):
    """Connects to a TCP port or a unix socket, always with a deadline, and takes no more than MAX_BODY."""

    accept_gzip_encoding = False

    def __init__(self, opener: Opener, timeout: float, headers: list[tuple[str, str]]) -> None:
        super().__init__(headers=headers)
        self._opener = opener
        self._timeout = timeout

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        return BoundedConnection(str(host), self._timeout, MAX_BODY, self._opener)

    def parse_response(self, response: http.client.HTTPResponse) -> tuple[Any, ...]:
        if response.getheader("Content-Encoding", "identity").lower() != "identity":
            raise http.client.HTTPException("it compressed what was asked for as it is")
        return super().parse_response(response)
