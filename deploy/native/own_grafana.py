"""A Grafana that is installed runs as one more part, with the boards in it; none is installed by `make up`."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from deploy.config.grafana import BOARDS, address
from deploy.config.settings import Settings
from deploy.native.layout import Layout
from deploy.native.ports import is_free, is_ours, owner
from deploy.native.programs import Program, digest

_SYSTEM_HOME = Path("/usr/share/grafana")  # of Grafana's own packages for Debian and Red Hat


@dataclass(frozen=True)
class Installed:
    """A Grafana of this machine: the words that start it, and the directory with its pages and defaults."""

    command: tuple[str, ...]
    home: Path


@dataclass(frozen=True)
class Choice:
    """The Grafana to start; or none, and why in words for a person."""

    installed: Installed | None = None
    why: str = ""


def choose_grafana(layout: Layout, settings: Settings, ours: Collection[int]) -> Choice:
    """Never raises: boards are no reason to watch nothing. `ours`: pids of what this supervisord runs."""
    boards = layout.root / "grafana" / "dashboards"
    if not boards.is_dir():
        return Choice(why="none in this checkout")
    if settings.grafana_url:
        return Choice(why=f"import {boards}/*.json there, or let `make up` do it: GRAFANA_TOKEN_FILE in .env")
    instead = f"import {boards}/*.json into one, or name one: GRAFANA_URL and GRAFANA_TOKEN_FILE in .env"
    command = find_command()
    if command is None:
        return Choice(why=f"no Grafana is on PATH: {instead}")
    home = find_home(Path(command[0]))
    if home is None:
        return Choice(why=f"{command[0]} is not started, since its conf/defaults.ini was not found: {instead}")
    port = settings.grafana_port
    taken = [part for part, other in settings.ports.by_part().items() if other == port]
    if taken or (not is_free(port) and not is_ours(port, ours)):
        held = f"port {port} is held by {taken[0] if taken else owner(port)}"
        return Choice(why=f"{command[0]} is not started, since {held}: set GRAFANA_PORT in .env; or {instead}")
    return Choice(Installed(command, home))


def find_command() -> tuple[str, ...] | None:
    """Returns the words that start the server; `grafana server` since 9.4, before that a program of its own."""
    for name, words in (("grafana", ("server",)), ("grafana-server", ())):
        if path := shutil.which(name):
            return (path, *words)
    return None


def find_home(program: Path) -> Path | None:
    """Returns the directory that holds conf/defaults.ini: beside bin/, below share/, or that of the packages."""
    above = program.resolve().parent.parent
    known = (above, program.parent.parent / "share" / "grafana", above / "share" / "grafana", _SYSTEM_HOME)
    return next((home for home in known if (home / "conf" / "defaults.ini").is_file()), None)


def grafana_program(installed: Installed, config: Path, port: int) -> Program:
    """`config`: the rendered files. A change restarts it, but not one of the boards, which it reads again itself."""
    files = sorted(file for file in config.rglob("*") if file.is_file())
    read = [file for file in files if not file.relative_to(config).as_posix().startswith(BOARDS)]
    command = (
        *installed.command,
        f"--homepath={installed.home}",
        f"--config={config / 'grafana.ini'}",
        f"cfg:server.root_url={address(port)}",  # `make status` reads it here
    )
    return Program("grafana", command, port, "/api/health", {"CONFIG_DIGEST": digest(*read)})
