"""Identifies a process by its command line as the kernel shows it: vLLM renames its own. Pure.

Titles of vLLM 0.32: `<prefix>::APIServer_0`, `…::EngineCore`, `…::EngineCore_DP0`, `…::Worker_DP0_TP1` and
`…::DPCoordinator` (an index or a rank stands there only when there are several), the prefix from
VLLM_PROCESS_NAME_PREFIX. The first process keeps its command line. Without setproctitle, and in releases that do not
rename, engines look like a second `vllm serve`. Ray names its actors by their class: `ray::RayWorkerProc.…`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vllm_exporter.facts.values import Role

DEFAULT_PORT = 8000  # of `vllm serve`

_NAMES: dict[bytes, Role] = {
    b"APIServer": "api_server",
    b"EngineCore": "engine_core",
    b"Worker": "worker",
    b"DPCoordinator": "coordinator",
}
_RENAMED = re.compile(rb"([^\s:]{1,64})::(APIServer|EngineCore|Worker|DPCoordinator)(?:_([A-Za-z0-9_]{1,64}))?")
_ACTORS: dict[bytes, Role] = {  # v1/executor/ray_executor.py, ray_executor_v2.py and v1/engine/core.py of vLLM 0.32
    b"RayWorkerWrapper": "worker",
    b"RayWorkerProc": "worker",
    b"EngineCoreActor": "engine_core",
    b"DPMoEEngineCoreActor": "engine_core",
}
_SERVERS = (b"vllm.entrypoints.openai.api_server", b"vllm.entrypoints.api_server")  # python -m
_COMMANDS = (b"vllm", b"vllm.entrypoints.cli.main")  # followed by `serve`
_SHELLS = (b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"fish", b"busybox")
_SUPERVISORS = (b"supervisord", b"circusd", b"honcho")  # written in Python, but no owners of engines
_WITH_VALUE = (b"-X", b"-W")  # options of the interpreter that take the next word


@dataclass(frozen=True)
class Forward:
    """A port of this host that a `docker-proxy` forwards to a port of a container."""

    host_port: int
    address: str  # of the container
    port: int


@dataclass(frozen=True)
class Title:
    """The identity of a process. `role` is None when it is not one of vLLM's."""

    role: Role | None = None
    rank: str = ""
    port: int | None = None  # on which a `vllm serve` was asked to listen
    renamed: bool = False  # the role is vLLM's own word for it
    owner: bool = False  # may rightly be the parent of an engine: vLLM, a Ray actor, a Python program
    shell: bool = False  # may replace itself by another program, as start scripts end in `exec vllm serve`
    forward: Forward | None = None  # of a docker-proxy


UNREADABLE = Title(owner=True)  # on the safe side: nothing below it is an orphan


def parse_title(cmdline: bytes) -> Title:
    """Parses /proc/<pid>/cmdline: words with a zero byte after each, or one title and padding."""
    words = [word for word in cmdline.rstrip(b"\0 ").split(b"\0") if word]
    if not words:
        return Title()
    first = words[0].rstrip()
    if first.startswith(b"ray::"):
        role = _ACTORS.get(first[5:].partition(b".")[0].partition(b"(")[0])
        return Title(role, renamed=role is not None, owner=True)
    renamed = _RENAMED.fullmatch(first)
    if renamed:
        return Title(_NAMES[renamed[2]], (renamed[3] or b"").decode(), renamed=True, owner=True)
    return _parse_command(words)


def _parse_command(words: list[bytes]) -> Title:
    first = _basename(words[0])
    if first == b"docker-proxy":
        return Title(forward=_forward(words[1:]))
    if first.lstrip(b"-") in _SHELLS:
        return Title(shell=True)
    interpreter = first.startswith((b"python", b"pypy"))
    program, args = _program(words[1:]) if interpreter else (first, words[1:])
    if program in _SERVERS or (program in _COMMANDS and args[:1] == [b"serve"]):
        return Title("api_server", port=_port(args), owner=True)
    return Title(owner=interpreter and program not in _SUPERVISORS)


def _forward(args: list[bytes]) -> Forward | None:
    """Returns None for UDP, and when a part is missing."""
    given = dict(zip(args[::2], args[1::2], strict=False))
    host_port, port = given.get(b"-host-port", b""), given.get(b"-container-port", b"")
    address = given.get(b"-container-ip", b"")
    if given.get(b"-proto") != b"tcp" or not (host_port.isdigit() and port.isdigit() and address):
        return None
    return Forward(int(host_port), address.decode("ascii", "replace"), int(port))


def _program(words: list[bytes]) -> tuple[bytes, list[bytes]]:
    """Returns the module or the script's name that an interpreter runs, and its arguments."""
    while words and words[0].startswith(b"-"):
        if words[0] == b"-m":
            return words[1] if len(words) > 1 else b"", words[2:]
        if words[0] == b"-c":
            return b"", []
        words = words[2 if words[0] in _WITH_VALUE else 1 :]
    return (_basename(words[0]), words[1:]) if words else (b"", [])


def _port(args: list[bytes]) -> int | None:
    """Returns the port; None for --headless: engines of a server on another host."""
    if b"--headless" in args:
        return None
    text = b"%d" % DEFAULT_PORT
    for word, following in zip(args, [*args[1:], b""], strict=True):
        if word == b"--port":
            text = following
        elif word.startswith(b"--port="):
            text = word.removeprefix(b"--port=")
    return int(text) if text.isdigit() else None


def _basename(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
