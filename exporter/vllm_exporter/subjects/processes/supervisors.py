"""Asks supervisord and systemd how vLLM ended, where the kernel does not say. Reads only."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from vllm_exporter.errors import SourceError
from vllm_exporter.net.unix import call
from vllm_exporter.subjects.processes.exits import UNKNOWN_SIGNAL

TIMEOUT = 2.0  # seconds

_REQUEST = b'<?xml version="1.0"?><methodCall><methodName>supervisor.getAllProcessInfo</methodName></methodCall>'
_STRUCT = re.compile(rb"<struct>(.*?)</struct>", re.DOTALL)
_MEMBER = re.compile(rb"<name>(\w+)</name>\s*<value>(?:<(?:int|string|i4)>([^<]*)</\w+>|<string/>|([^<]*))</value>")
_ENDED = (b"EXITED", b"FATAL", b"STOPPED", b"BACKOFF")
_EXITED, _DUMPED = "1", "3"  # CLD_EXITED and CLD_DUMPED of waitid(2), as ExecMainCode has them


@dataclass(frozen=True)
class Program:
    """A program of supervisord."""

    pid: int  # 0: it does not run
    status: int | None  # the wait status of its last end; None when it was started again


def list_programs(where: str) -> dict[str, Program]:
    """Returns the programs by group:name. `where`: path or host:port of supervisord's server. Raises SourceError."""
    answer = call(where, "POST", "/RPC2", TIMEOUT, _REQUEST)
    if answer.status != 200:
        raise SourceError(f"supervisord at {where} answered with status {answer.status}")
    return parse_programs(answer.body)


def parse_programs(body: bytes) -> dict[str, Program]:
    """Parses the answer to getAllProcessInfo (supervisord.org/api.html). Raises SourceError."""
    if b"<methodResponse>" not in body or b"<fault>" in body:
        raise SourceError(f"supervisord answered {body[:80]!r}")
    found: dict[str, Program] = {}
    for struct in _STRUCT.findall(body):
        members = {name: typed or plain for name, typed, plain in _MEMBER.findall(struct)}
        name = b":".join((members.get(b"group", b""), members.get(b"name", b""))).decode("utf-8", "replace")
        found[name] = _program(members)
    return found


def ask_systemd(unit: str, pid: int) -> int | None:
    """Returns the wait status of the main process of a service, if it was this one. Raises SourceError.

    Returns None when the service runs another process already: systemd keeps the status of the newest only.
    """
    command = ["systemctl", "show", "--property=ExecMainPID,ExecMainCode,ExecMainStatus", "--", unit]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SourceError(f"systemctl show {unit}: {error}") from None
    return parse_unit(done.stdout.decode("utf-8", "replace"), pid)


def parse_unit(text: str, pid: int) -> int | None:
    """Parses `systemctl show`, which has parts of siginfo_t: code 1 exited, 2 killed, 3 killed and dumped."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    code, status = values.get("ExecMainCode", "0"), values.get("ExecMainStatus", "")
    if values.get("ExecMainPID") != str(pid) or code == "0" or not status.isdigit():
        return None
    if code == _EXITED:
        return int(status) << 8
    return int(status) | (0x80 if code == _DUMPED else 0)


def _program(members: Mapping[bytes, bytes]) -> Program:
    pid, status = members.get(b"pid", b"0"), members.get(b"exitstatus", b"")
    ended = members.get(b"statename") in _ENDED and pid == b"0" and status.lstrip(b"-").isdigit()
    if not ended:
        return Program(int(pid) if pid.isdigit() else 0, None)
    return Program(0, UNKNOWN_SIGNAL if int(status) < 0 else int(status) << 8)
