"""`up`: starts the demo, and says where to look and what to try."""

from __future__ import annotations

import contextlib
import io
import shutil
import time

from deploy.config.access import USER
from deploy.config.files import private_directory, write_if_changed
from deploy.config.grafana import OVERVIEW, address
from deploy.demo.calm import wait_ready
from deploy.demo.errors import DemoError
from deploy.demo.files import exporter_yml, healer_yml
from deploy.demo.programs import demo_programs
from deploy.demo.world import World, write_world
from deploy.native.layout import alone
from deploy.native.leftovers import find_leftovers, stop_leftovers
from deploy.native.ports import is_free, owner
from deploy.native.supervisor import Supervisor
from deploy.native.up import bring_up, table


def up(world: World) -> int:
    """Starts anew each time, since cooldowns and half-healed servers of an earlier demo would only confuse."""
    began = time.monotonic()
    with alone(world.run):
        if not Supervisor(world.layout).pid():
            _begin(world)
        write_if_changed(world.run / "exporter.yml", exporter_yml())
        write_if_changed(world.run / "healer.yml", healer_yml(world))
        write_world(world)
        with contextlib.redirect_stdout(io.StringIO()):  # the words of `make up`, which is not what was asked for
            plan = bring_up(world.layout, world.settings, demo_programs(world))
        wait_ready(world)
    print(words(world, time.monotonic() - began, plan.grafana.installed is not None))
    return 0


def words(world: World, seconds: float, with_grafana: bool = False) -> str:
    """Says what a person wants to know after the start."""
    servers = {server.words: server.name for server in world.servers}
    boards = {"boards": f"{address(world.first_port)}{OVERVIEW} (admin)"} if with_grafana else {}
    return "\n".join(
        [
            f"the demo is ready after {seconds:.0f} s: the healer acts, on simulated servers only",
            table(servers),
            "Open",
            table({**boards, **world.links, "log in": f"{USER}, passwords in {world.run / 'secrets'}"}),
            "Try",
            table(
                {
                    "make demo-break HOW=hang": "an engine hangs, and /health goes on saying ok",
                    "make demo-break HOW=saturate SERVER=2": "a server is busy, and is left alone",
                    "make demo-break": "what else can be broken",
                    "make demo-story": "five failures in a row, about four minutes",
                    "make demo-down": "the end",
                }
            ),
        ]
    )


def _begin(world: World) -> None:
    """Removes the last demo's data, after what it may have left running. Raises DemoError for a port in use."""
    stop_leftovers(find_leftovers(world.layout.server_url))
    for part, port in world.all_ports.items():
        if not is_free(port):
            words = f"port {port} ({part}) is in use by {owner(port)}"
            raise DemoError(f"{words}: stop it, or choose others: make demo DEMO_PORT={world.first_port + 1000}")
    for name in ("data", "logs"):
        shutil.rmtree(world.run / name, ignore_errors=True)
    for server in world.servers:
        private_directory(world.state(server))
