"""The demo's world: its directory, its ports, its three servers."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

from deploy.config.addresses import HOST
from deploy.config.settings import Ports, Settings
from deploy.config.targets import parse_targets, server_name
from deploy.demo.errors import DemoError, NoDemo
from deploy.native.layout import Layout

SERVERS = 3  # one to break, and others that stand in for it
FIRST_PORT = 19800  # far from the parts' own ports: the demo runs beside `make up`
_SPAN = 100  # ports that belong to a demo


@dataclass(frozen=True)
class Server:
    """One simulated server."""

    number: int  # from 1, as people say it
    port: int
    name: str  # its identity in labels

    @property
    def program(self) -> str:
        """Its name in supervisord."""
        return f"vllm-{self.number}"

    @property
    def words(self) -> str:
        return f"server {self.number} ({HOST}:{self.port})"


@dataclass(frozen=True)
class World:
    """`first_port` decides all ports; `run` holds all that is written."""

    root: Path
    run: Path
    first_port: int = FIRST_PORT

    @property
    def layout(self) -> Layout:
        """The demo's exporter.yml and healer.yml lie in `run`, so that the user's own play no part."""
        return Layout(self.root, self.run, self.run / "env")

    @property
    def ports(self) -> Ports:
        """The last two digits are those of the parts' default ports."""
        first = self.first_port
        return Ports(exporter=first + 55, healer=first + 56, prometheus=first + 90, alertmanager=first + 93)

    @property
    def servers(self) -> tuple[Server, ...]:
        hostname = socket.gethostname()
        ports = range(self.first_port + 1, self.first_port + 1 + SERVERS)
        return tuple(
            Server(number, port, server_name(f"{HOST}:{port}", hostname)) for number, port in enumerate(ports, 1)
        )

    @property
    def settings(self) -> Settings:
        addresses = " ".join(f"{HOST}:{server.port}" for server in self.servers)
        targets = parse_targets(addresses, socket.gethostname(), "the demo")
        # Not this host's directory of counts: real servers may write there, and are no part of the demo.
        inside = str(self.layout.run / "inside")
        return Settings(targets=targets, ports=self.ports, grafana_port=self.first_port, monitor_dir=inside)

    @property
    def journal(self) -> Path:
        return self.layout.data("healer") / "journal.sqlite"

    def password(self, part: str) -> Path:
        """The file with the password that Prometheus or Alertmanager asks for."""
        return self.layout.password(part)

    def state(self, server: Server) -> Path:
        """The directory for what outlives the process in a server's failure."""
        return self.layout.data(server.program)

    def server(self, number: int) -> Server:
        """Returns the server of that number. Raises DemoError."""
        known = {server.number: server for server in self.servers}
        if number not in known:
            raise DemoError(f"there is no server {number}: choose SERVER=1 to SERVER={SERVERS}")
        return known[number]

    @property
    def links(self) -> dict[str, str]:
        """Pages that a person may want to open."""
        return {
            "alerts": f"http://{HOST}:{self.ports.prometheus}/alerts",
            "alertmanager": f"http://{HOST}:{self.ports.alertmanager}/#/alerts",
            "healer": f"http://{HOST}:{self.ports.healer}/",
            "exporter": f"http://{HOST}:{self.ports.exporter}/metrics",
        }

    @property
    def all_ports(self) -> dict[str, int]:
        return {**self.ports.by_part(), **{server.program: server.port for server in self.servers}}


def choose_world(root: Path, run: Path, port: str) -> World:
    """Reads `port` as it was typed; '' is the default. Raises DemoError."""
    if not port:
        return World(root, run)
    if not (port.isascii() and port.isdigit() and 1024 <= int(port) <= 65535 - _SPAN):
        raise DemoError(
            f"DEMO_PORT is {port!r}: give a port from 1024 to {65535 - _SPAN}; the demo uses 100 from there on"
        )
    return World(root, run, int(port))


def write_world(world: World) -> None:
    """Keeps the first port for the commands that come after."""
    _file(world.run).write_text(json.dumps({"first_port": world.first_port}) + "\n", encoding="utf-8")


def read_world(root: Path, run: Path) -> World:
    """Returns the demo that was started in `run`. Raises NoDemo."""
    try:
        return World(root, run, int(json.loads(_file(run).read_text(encoding="utf-8"))["first_port"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise NoDemo(f"no demo was started in {run}: `make demo` starts one") from None


def _file(run: Path) -> Path:
    return run / "demo.json"
