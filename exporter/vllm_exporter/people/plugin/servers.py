"""Finds the vLLM servers of this host, and reads how each was started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vllm_exporter.linux.stat import ProcessStat, read_stat
from vllm_exporter.subjects.processes.titles import Title, parse_title

RUST = "vllm-rs"
PYTHON = re.compile(r"python[\d.]*")


@dataclass(frozen=True)
class RunningServer:
    """The first process of a server. `environ`: None where it is closed to this user. `root`: its files, from here."""

    pid: int
    port: int | None
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] | None = None
    user: int = 0
    group: int = 0
    groups: frozenset[int] = field(default_factory=frozenset)
    contained: bool = False  # it has a file system of its own
    rust: bool = False  # vLLM's front end in Rust answers its requests
    root: Path = Path("/")


def find_servers(proc: Path = Path("/proc")) -> Iterator[RunningServer]:
    """Yields each server that this user can see, in the order of their process ids."""
    found = {stat.ref.pid: (stat, title) for stat, title in _api_servers(proc)}
    for pid, (stat, title) in found.items():
        if stat.ppid not in found and title.port is not None:
            below = [child for child, (other, _) in found.items() if other.ppid == pid]
            with suppress(OSError):  # it has ended meanwhile
                yield read_server(proc, stat, title.port, below)


def read_server(proc: Path, stat: ProcessStat, port: int | None, children: list[int]) -> RunningServer:
    """Reads what is to be known of a process. Raises OSError when it has ended."""
    here = proc / str(stat.ref.pid)
    environ = _environ(here / "environ")
    user, group, groups = _ids(here / "status")
    first_words = (_words(proc / str(pid) / "cmdline")[:1] for pid in (stat.ref.pid, *children))
    rust = any(os.path.basename(word) == RUST for words in first_words for word in words)
    return RunningServer(
        pid=stat.ref.pid,
        port=port,
        arguments=_words(here / "cmdline"),
        environ=environ,
        user=user,
        group=group,
        groups=groups,
        contained=_differs(here / "ns/mnt", proc / "self/ns/mnt"),
        rust=rust or (environ or {}).get("VLLM_USE_RUST_FRONTEND", "0") not in ("", "0"),
        root=here / "root",
    )


def choose_python(server: RunningServer) -> str | None:
    """Returns the interpreter that runs the server, as it was called: that of a virtual environment is a link."""
    first = server.arguments[0] if server.arguments else ""
    if PYTHON.fullmatch(os.path.basename(first)) and os.path.isabs(first):
        return first
    virtual = (server.environ or {}).get("VIRTUAL_ENV", "")
    return f"{virtual}/bin/python" if virtual else None


def _api_servers(proc: Path) -> Iterator[tuple[ProcessStat, Title]]:
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdecimal()):
        try:
            title = parse_title((proc / str(pid) / "cmdline").read_bytes())
        except OSError:
            continue
        stat = read_stat(proc, pid) if title.role == "api_server" else None
        if stat is not None:
            yield stat, title


def _words(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0"))
    except OSError:
        return ()


def _environ(path: Path) -> dict[str, str] | None:
    try:
        pairs = path.read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    return {name: value for name, given, value in (pair.partition("=") for pair in pairs) if given}


def _ids(path: Path) -> tuple[int, int, frozenset[int]]:
    """Returns the user, the group and all groups by which the kernel decides what a process may do."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    status = {name: value.split() for name, _, value in lines}
    group = int(status["Gid"][1])
    return int(status["Uid"][1]), group, frozenset((group, *map(int, status["Groups"])))


def _differs(one: Path, other: Path) -> bool:
    try:
        return os.readlink(one) != os.readlink(other)
    except OSError:
        return False
