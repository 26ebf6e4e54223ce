"""Decides what of the part inside vLLM would load, and why not. Each check is a line with its fix."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vllm_exporter.errors import SourceError
from vllm_exporter.linux.pythons import NAME, PythonEnvironment
from vllm_exporter.people.plugin.servers import RunningServer
from vllm_exporter.subjects.inside.directory import check_folder
from vllm_exporter.subjects.inside.format import HEADER, parse_header

# missing: something of it does not work. note: it works, and there is more to have. unknown: this user cannot see it.
Verdict = Literal["ok", "missing", "note", "unknown"]
OLDEST_PYTHON = (3, 10)
OLDEST_VLLM = (0, 11, 1)  # the first that loads stat loggers
GROUPS = ("vllm.general_plugins", "vllm.stat_logger_plugins")
VARIABLE = "VLLM_MONITOR_DIR"
DEFAULT = "/run/vllm-monitor"
TOKEN = "VLLM_MONITOR_TOKEN_FILE"
MIDDLEWARE = "vllm_monitor.Middleware"


@dataclass(frozen=True)
class PluginCheck:
    """One check and what to do."""

    check: str
    verdict: Verdict
    words: str


def check_environment(python: str, found: PythonEnvironment, install: str) -> Iterator[PluginCheck]:
    """Checks what is installed. `install`: the command that installs the part there."""
    version = ".".join(map(str, found.python))
    if found.python < OLDEST_PYTHON:
        yield PluginCheck("Python", "missing", f"{python} is {version}: the part needs 3.10 or newer")
    else:
        yield PluginCheck("Python", "ok", f"{python}, {version}")
    yield _release(python, found.vllm)
    lost = [group for group in GROUPS if group not in found.groups]
    if not found.package:
        yield PluginCheck("plug-in", "missing", f"not installed there: {install}")
    elif lost:
        yield PluginCheck(
            "plug-in", "missing", f"an older release, without entry points in {', '.join(lost)}: {install}"
        )
    else:
        yield PluginCheck("plug-in", "ok", f"vllm-exporter {found.distribution} is installed there".replace("  ", " "))


def check_server(server: RunningServer, exporter: Path) -> Iterator[PluginCheck]:
    """Checks how a server was started. `exporter`: the directory in which the exporter looks."""
    if server.rust:
        words = "vLLM's front end in Rust runs neither plug-in nor middleware: start without VLLM_USE_RUST_FRONTEND"
        yield PluginCheck("front end", "missing", words)
    else:
        yield PluginCheck("front end", "ok", "in Python")
    if MIDDLEWARE in server.arguments:
        yield PluginCheck("middleware", "ok", f"--middleware {MIDDLEWARE}")
    else:
        words = f"requests that end before the engine, or break, are not counted: add --middleware {MIDDLEWARE}"
        yield PluginCheck("middleware", "note", words)
    if server.environ is None:
        words = f"the environment of process {server.pid} is closed to this user: run it as root, or as vLLM's user"
        yield PluginCheck("environment", "unknown", words)
        return
    yield _filter(server.environ.get("VLLM_PLUGINS"))
    yield from _directory(server, Path(server.environ.get(VARIABLE) or DEFAULT), exporter)
    if server.environ.get(TOKEN):
        yield PluginCheck("token", "ok", f"{TOKEN}={server.environ[TOKEN]}")
    else:
        yield PluginCheck("token", "note", f"{TOKEN} names no file: levers are off")


def _release(python: str, vllm: str) -> PluginCheck:
    if not vllm:
        return PluginCheck("vLLM", "missing", f"no vLLM in the environment of {python}: name another --python")
    numbers = tuple(int(part) for part in vllm.split("+")[0].split(".")[:3] if part.isdecimal())
    if numbers < OLDEST_VLLM:
        words = f"{vllm} loads no such plug-in, as 0.11.1 and newer do; the middleware alone works with it"
        return PluginCheck("vLLM", "missing", words)
    return PluginCheck("vLLM", "ok", vllm)


def _filter(plugins: str | None) -> PluginCheck:
    if plugins is None:
        return PluginCheck("VLLM_PLUGINS", "ok", "not set, so that all are loaded")
    if NAME in plugins.split(","):
        return PluginCheck("VLLM_PLUGINS", "ok", f"names {NAME}")
    return PluginCheck("VLLM_PLUGINS", "missing", f"is {plugins!r}, which keeps the plug-in out: add {NAME} to it")


def _directory(server: RunningServer, wanted: Path, exporter: Path) -> Iterator[PluginCheck]:
    """Checks the directory as the server sees it, and whether it is the exporter's."""
    seen = server.root / str(wanted).lstrip("/")
    try:
        about = os.stat(seen)
    except OSError as error:
        mount = f"-v {exporter}:{wanted}" if server.contained else f"sudo install -d -o {server.user} {wanted}"
        yield PluginCheck("directory", "missing", f"{wanted}: {error.strerror} for the server: {mount}, and restart it")
        return
    if not _may_write(server, about):
        fix = f"chown {server.user} {wanted}, and restart it"
        yield PluginCheck(
            "directory", "missing", f"{wanted} may not be written by the server's user {server.user}: {fix}"
        )
        return
    yield PluginCheck("directory", "ok", f"{wanted}, which the server's user {server.user} may write")
    yield _shared(server, wanted, about, exporter)
    yield _written(server, seen)


def _shared(server: RunningServer, wanted: Path, about: os.stat_result, exporter: Path) -> PluginCheck:
    """Checks that the exporter looks into the same directory, and trusts what the server writes there."""
    try:
        own = os.stat(exporter)
        trusted = check_folder(exporter, own)
    except OSError as error:
        return PluginCheck(
            "exporter", "missing", f"it looks into {exporter}: {error.strerror}; set {VARIABLE} for both"
        )
    except SourceError as error:
        return PluginCheck("exporter", "missing", f"it refuses {error}")
    if (own.st_dev, own.st_ino) != (about.st_dev, about.st_ino):
        words = (
            f"it looks into {exporter}, which is another directory than the server's {wanted}: set {VARIABLE} for both"
        )
        return PluginCheck("exporter", "missing", words)
    if server.user not in trusted:
        words = f"it does not trust files of user {server.user} in {exporter}: chown {server.user} {exporter}"
        return PluginCheck("exporter", "missing", words)
    return PluginCheck("exporter", "ok", f"it looks into {exporter}, and trusts the server's files")


def _written(server: RunningServer, folder: Path) -> PluginCheck:
    """Checks that processes of the server write."""
    try:
        ports = [_port(file) for file in folder.glob("*.snap")]
    except OSError:
        return PluginCheck("file", "unknown", f"{folder} is closed to this user")
    if server.port in ports:
        return PluginCheck("file", "ok", f"{ports.count(server.port)} processes of the server have written theirs")
    return PluginCheck(
        "file", "missing", "no process has written one: restart the server, which loads plug-ins at its start"
    )


def _port(file: Path) -> int:
    """Returns the port of the server whose process wrote the file; -1 for any other file."""
    try:
        with open(file, "rb") as stream:
            return parse_header(stream.read(HEADER.size)).port
    except (OSError, SourceError):
        return -1


def _may_write(server: RunningServer, about: os.stat_result) -> bool:
    if server.user == 0:
        return True
    if server.user == about.st_uid:
        return bool(about.st_mode & stat.S_IWUSR)
    if about.st_gid in server.groups:
        return bool(about.st_mode & stat.S_IWGRP)
    return bool(about.st_mode & stat.S_IWOTH)
