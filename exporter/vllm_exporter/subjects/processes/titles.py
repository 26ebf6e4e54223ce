"""Identifies a process by its command line as the kernel shows it: vLLM renames its own. Pure.

Titles of vLLM 0.32: `<prefix>::APIServer_0`, `…::EngineCore`, `…::EngineCore_DP0`, `…::Worker_DP0_TP1` and
`…::DPCoordinator` (an index or a rank stands there only when there are several), the prefix from
VLLM_PROCESS_NAME_PREFIX. The first process keeps its command line. Without setproctitle, and in releases that do not
rename, engines look like a second `vllm serve`. Ray names its actors by their class: `ray::RayWorkerProc.…`. Packages
that extend vLLM (vllm_omni, vllm_ascend) or wrap it (dynamo.vllm) have modules and classes of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from vllm_exporter.facts.values import Role

DEFAULT_PORT = 8000  # of `vllm serve`
MAX_PORT_DIGITS = 5

_NAMES: dict[bytes, Role] = {
    b"APIServer": "api_server",
    b"EngineCore": "engine_core",
    b"Worker": "worker",
    b"DPCoordinator": "coordinator",
}
_RENAMED = re.compile(rb"([^\s:]{1,64})::(APIServer|EngineCore|Worker|DPCoordinator)(?:_([A-Za-z0-9_]{1,64}))?")
# Packages that extend vLLM have classes of their own, behind vLLM's own prefix or one with its name:
# VLLM::StageEngineCoreProc_DP0, vLLM-Omni::DiffusionWorker-0.
_EXTENDED = re.compile(
    rb"(?i:vllm)[\w.-]{0,20}::[A-Za-z0-9]{0,40}?(APIServer|EngineCore|Worker|DPCoordinator)[A-Za-z0-9]{0,40}"
    rb"(?:[_-]([A-Za-z0-9_]{1,64}))?"
)
# Workers of builds between 0.10.0 and 0.10.1: the rank stands behind the command line of what Python has spawned
_SPAWNED = re.compile(
    rb"\S{0,400}python[\w.]{0,10} -c from multiprocessing\.spawn import spawn_main;.{0,200}"
    rb" --multiprocessing-fork_(\w{1,64})"
)
# Ranks are series: any other text behind a name is none.
_RANK = re.compile(
    rb"(?:(?:DP|PP|TP|EP|PCP|DCP|SP|CFG|stage|replica)?\d{1,4})"
    rb"(?:_(?:DP|PP|TP|EP|PCP|DCP|SP|CFG|stage|replica)\d{1,4}){0,7}"
)
# v1/executor/ray_executor.py, ray_executor_v2.py and v1/engine/core.py of vLLM 0.32, and what extends them
_ACTORS: tuple[tuple[re.Pattern[bytes], Role], ...] = (
    (re.compile(rb"[A-Za-z0-9]{0,40}RayWorker(?:Wrapper|Proc)"), "worker"),
    (re.compile(rb"[A-Za-z0-9]{0,40}EngineCoreActor"), "engine_core"),
)
# Commands and modules that are followed by `serve`: vllm, vllm-0.9, vllm0.9.1, vllm-omni, lmcache_vllm, vllm.pex.
# Programs beside an engine have such names too.
_BESIDE = rb"(?!.*(?:exporter|healer|monitor|router|proxy|gateway|client|bench|playground))"
_COMMAND = re.compile(
    _BESIDE + rb"(?:[a-z0-9]{1,40}[-_])?vllm(?:[-_.]?v?[0-9][\w.+-]{0,40}|[-_]\w{1,40})?(?:\.(?:py|pyz|pex))?"
)
_COMMAND_MODULE = re.compile(_BESIDE + rb"vllm(?:_\w{1,40})?(?:\.entrypoints\.cli\.main)?")
# vllm.entrypoints.openai.api_server; vllm_omni, vllm_nvext, ipex_llm.vllm.xpu … in its place; llumnix.entrypoints.vllm
_SERVER_MODULE = re.compile(
    rb"(?:\w+\.){0,4}(?:vllm\w{0,40}(?:\.\w+){0,3}\.entrypoints(?:\.\w+){0,2}|entrypoints\.vllm\w{0,40})"
    rb"\.(?:api_server|grpc_server)"
)
# dynamo.vllm, vllm_tgis_adapter, fastchat.serve.vllm_worker, trl.scripts.vllm_serve, KServe's huggingfaceserver: they
# run vLLM's engine, and listen where they like
_WRAPPER_MODULE = re.compile(
    rb"(?:\w+\.){1,4}vllm(?:\.main)?|(?:\w+\.){0,4}vllm_(?:worker|tgis_adapter)|trl\.scripts\.vllm_serve|huggingfaceserver"
)
# Programs that run another one within their own process, behind options of theirs: profilers, debuggers, and
# `python -m vllm_mindspore.entrypoints vllm.entrypoints.openai.api_server`.
_PROFILERS = b"cProfile profile coverage debugpy memray pdb pyinstrument scalene trace viztracer"
_INNER = frozenset([*_PROFILERS.split(), b"vllm_mindspore.entrypoints"])
MAX_OPTIONS = 20  # words that such a program has before the other one
_SERVER_SCRIPT = re.compile(rb"(?:.*/)?vllm\w{0,40}/entrypoints/(?:openai/)?api_server\.py")
_PORTLESS = (b"--headless", b"--uds", b"--listen-fd")
MAX_NAME = 200  # bytes of a module's or a script's name
_RUST = b"vllm-rs"  # vLLM's server in Rust: `vllm-rs serve`, or below `vllm serve` as `vllm-rs frontend`
_HEADLESS = b"vllm.entrypoints.cli.headless_engine"  # it starts engines for a `vllm-rs serve`
_SHELLS = (b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"fish", b"busybox")
_SUPERVISORS = (b"supervisord", b"circusd", b"honcho")  # written in Python, but no owners of engines
_WITH_VALUE = b"XW"  # options of the interpreter that take a value


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


@dataclass(frozen=True)
class Invocation:
    """A program and its arguments."""

    name: bytes = b""  # a path, or a module of Python
    args: list[bytes] = field(default_factory=list)
    module: bool = False


UNREADABLE = Title(owner=True)  # on the safe side: nothing below it is an orphan


def parse_title(cmdline: bytes) -> Title:
    """Parses /proc/<pid>/cmdline: words with a zero byte after each, or one title and padding."""
    words = [word for word in cmdline.rstrip(b"\0 ").split(b"\0") if word]
    if not words:
        return Title()
    first = words[0].rstrip()
    if first.startswith(b"ray::"):
        actor = first[5:].partition(b".")[0].partition(b"(")[0]
        role = next((role for pattern, role in _ACTORS if pattern.fullmatch(actor)), None)
        return Title(role, renamed=role is not None, owner=True)
    if renamed := _RENAMED.fullmatch(first):
        return Title(_NAMES[renamed[2]], _rank(renamed[3]), renamed=True, owner=True)
    if extended := _EXTENDED.fullmatch(first):
        return Title(_NAMES[extended[1]], _rank(extended[2]), renamed=True, owner=True)
    if (spawned := _SPAWNED.fullmatch(first)) and _rank(spawned[1]):
        return Title("worker", _rank(spawned[1]), renamed=True, owner=True)
    return _parse_command(words)


def _rank(text: bytes | None) -> str:
    return text.decode() if text and _RANK.fullmatch(text) else ""


def _parse_command(words: list[bytes]) -> Title:
    first = _basename(words[0])
    if first == b"docker-proxy":
        return Title(forward=_forward(words[1:]))
    if first.lstrip(b"-") in _SHELLS:
        return Title(shell=True)
    if first == _RUST and words[1:2] in ([b"serve"], [b"frontend"]):
        return Title("api_server", port=_port(words[2:], DEFAULT_PORT), renamed=True, owner=True)
    interpreter = first.startswith((b"python", b"pypy"))
    program = _inner(_program(words[1:]) if interpreter else Invocation(words[0], words[1:]))
    if program.module and program.name == _HEADLESS:
        return Title("engine_core", renamed=True, owner=True)
    if _serves(program):
        return Title("api_server", port=_port(program.args, DEFAULT_PORT), owner=True)
    if program.module and _WRAPPER_MODULE.fullmatch(program.name):
        return Title("api_server", port=_port(program.args, None), owner=True)
    return Title(owner=interpreter and _basename(program.name) not in _SUPERVISORS)


def _serves(program: Invocation) -> bool:
    """True if it is vLLM's server, or that of a package that extends vLLM."""
    name = program.name
    if len(name) > MAX_NAME:
        return False
    if program.module:
        command = _COMMAND_MODULE.fullmatch(name) is not None
        return _SERVER_MODULE.fullmatch(name) is not None or (command and program.args[:1] == [b"serve"])
    command = _COMMAND.fullmatch(_basename(name)) is not None
    if _basename(name) == b"trl":
        return program.args[:1] == [b"vllm-serve"]
    return _SERVER_SCRIPT.fullmatch(name) is not None or (command and program.args[:1] == [b"serve"])


def _inner(program: Invocation) -> Invocation:
    """Returns what the program runs within its own process; itself when it is no such program."""
    if _basename(program.name) not in _INNER:
        return program
    for at, (word, following) in enumerate(pairwise([*program.args[:MAX_OPTIONS], b""])):
        if word == b"-m":
            return Invocation(following, program.args[at + 2 :], module=True)
        for found in (Invocation(word, program.args[at + 1 :], module) for module in (True, False)):
            if _serves(found):
                return found
    return program


def _forward(args: list[bytes]) -> Forward | None:
    """Returns None for UDP, and when a part is missing."""
    given = dict(zip(args[::2], args[1::2], strict=False))
    host_port, port = given.get(b"-host-port", b""), given.get(b"-container-port", b"")
    address = given.get(b"-container-ip", b"")
    if given.get(b"-proto") != b"tcp" or not (host_port.isdigit() and port.isdigit() and address):
        return None
    return Forward(int(host_port), address.decode("ascii", "replace"), int(port))


def _program(words: list[bytes]) -> Invocation:
    """Returns what an interpreter runs: `-m module`, a script, or nothing (`-c`). Short options may stand together."""
    while words and words[0].startswith(b"-"):
        option, words = words[0], words[1:]
        if option.startswith(b"--"):
            continue
        for at, letter in enumerate(option[1:], 1):
            behind = option[at + 1 :]
            if letter == ord("m"):
                rest = [behind, *words] if behind else words
                return Invocation(rest[0] if rest else b"", rest[1:], module=True)
            if letter == ord("c"):
                return Invocation()
            if letter in _WITH_VALUE:
                words = words if behind else words[1:]
                break
    return Invocation(words[0], words[1:]) if words else Invocation()


def _port(args: list[bytes], default: int | None) -> int | None:
    """Returns the port; None where it listens on none, or on one that is not said: --headless are engines of a server
    on another host, --uds is a Unix socket, --listen-fd a port that its parent has opened."""
    if any(arg.partition(b"=")[0] in _PORTLESS for arg in args):
        return None
    text = b"" if default is None else b"%d" % default
    for word, following in zip(args, [*args[1:], b""], strict=False):
        if word == b"--port":
            text = following
        elif word.startswith(b"--port="):
            text = word.removeprefix(b"--port=")
    return int(text) if text.isdigit() and len(text) <= MAX_PORT_DIGITS else None


def _basename(path: bytes) -> bytes:
    """Returns the name of a program; Nix puts scripts of its own in the place of some, and calls them .vllm-wrapped."""
    name = path.rpartition(b"/")[2]
    return name[1:-8] if name.startswith(b".") and name.endswith(b"-wrapped") else name
